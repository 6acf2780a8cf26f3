"""Signals that reach a process at a bad moment."""

import subprocess
import sys

from tests.conftest import ROOT

SWALLOWED = """
import os, signal, time, weakref
from steps.runs import process

class Anything: ...

def interrupt(_):
    os.kill(os.getpid(), signal.SIGTERM)
    for _ in range(100): pass  # what is raised in a callback of a weak reference is swallowed

process.unwind()
thing = Anything()
reference = weakref.ref(thing, interrupt)
try:
    del thing
    time.sleep(60)
except KeyboardInterrupt:
    print("stopped")
"""


def test_a_signal_during_a_callback_is_not_lost() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SWALLOWED], check=False, cwd=ROOT, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("stopped\n", "", 0)
