"""What worker processes are forked from has loaded what they need."""

from __future__ import annotations

import subprocess
import sys

from steps.batch.forkserver import WORKERS_NEED
from steps.runs.files import ROOT

FORK = """
import multiprocessing
import sys
from steps.batch import forkserver

forkserver.start(*forkserver.WORKERS_NEED)
assert "numpy" not in sys.modules
with multiprocessing.get_context("forkserver").Pool(1) as pool:
    print(*pool.apply(eval, ("sorted(__import__('sys').modules)",)))
    print(pool.apply(eval, ("__import__('os').environ['OMP_NUM_THREADS']",)))
"""


def test_a_forked_process_begins_with_them() -> None:
    said = subprocess.check_output([sys.executable, "-c", FORK], cwd=ROOT, text=True, timeout=120)
    modules, threads = said.splitlines()
    assert {*WORKERS_NEED} <= {*modules.split()}
    assert "mlflow" not in modules.split()
    assert threads == "1"
