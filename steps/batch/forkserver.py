"""The process from which worker processes are forked, with what they need loaded once."""

from __future__ import annotations

import multiprocessing
import os

METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
"""How worker processes are started; Windows has no fork."""

WORKERS_NEED = ("distributed.nanny", "onnxruntime", "steps.batch.batches")


def start(*modules: str) -> None:
    """Start it, if it does not run yet: it loads the modules while this process goes on."""
    # Cores are shared out as processes: numpy is not to make threads of its own as it is loaded.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if METHOD == "forkserver":
        from multiprocessing import forkserver

        forkserver.set_forkserver_preload([*modules])
        forkserver.ensure_running()
