"""The process from which worker processes are forked, with what they need loaded once."""

from __future__ import annotations

import os
from multiprocessing import forkserver

WORKERS_NEED = ("distributed.nanny", "onnxruntime", "steps.batch.batches")


def start(*modules: str) -> None:
    """Start it, if it does not run yet: it loads the modules while this process goes on."""
    # Cores are shared out as processes: numpy is not to make threads of its own as it is loaded.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    forkserver.set_forkserver_preload([*modules])
    forkserver.ensure_running()
