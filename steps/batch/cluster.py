"""A Dask cluster: one of this machine that ends with the work, or one that runs already."""

import logging
import os
import socket
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import dask.config
from dask.base import tokenize
from distributed import CancelledError, Client, KilledWorker
from distributed.comm import CommClosedError
from distributed.diagnostics.plugin import SchedulerUploadFile, UploadFile

from steps.runs.files import ROOT
from steps.runs.store import StepError

# Tasks and results are objects of these: they must be there in the versions that are here.
NEEDED = (
    "cloudpickle", "dask", "distributed", "fsspec", "joblib", "numpy", "onnxruntime", "pandas",
    "pyarrow", "scikit-learn", "scipy", "skops",
)  # fmt: skip
CONNECT_SECONDS = 5
SETTINGS: dict[str, object] = {
    # No pages about the patients' tasks, whoever else uses this machine.
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    # Windows has no fork.
    "distributed.worker.multiprocessing-method": "forkserver" if hasattr(os, "fork") else "spawn",
    "distributed.worker.profile.enabled": False,
}


@contextmanager
def connect(scheduler: str = "", workers: int = 0) -> Iterator[Client]:
    """Give a client of a Dask cluster for the block; a `StepError` where it cannot be used.

    `scheduler` is the address of one that runs already, such as ``tcp://host:8786``, to which this
    project's code is sent. Without it, the cluster is of this machine: with so many `workers`, or
    one for each core, it ends with the block, and refuses clients without a key that its own
    processes alone have.
    """
    for name in ("distributed", "distributed.client"):
        # Dask logs its starts and stops; a failure is raised all the same.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # Processes that have just been started may take their time on a machine at work.
    patience = {"distributed.comm.timeouts.connect": f"{CONNECT_SECONDS if scheduler else 60}s"}
    try:
        with dask.config.set(SETTINGS | patience), _client(scheduler, workers) as client:
            if scheduler:
                _check(scheduler, client)
                _send_code(scheduler, client)
            yield client
    except KilledWorker:
        raise StepError(
            "a task has killed one Dask worker after the other, as lack of memory does; "
            "the logs of the workers tell more"
        ) from None
    except (CancelledError, CommClosedError):
        raise StepError("the connection to the Dask scheduler was lost; start again") from None


def _client(scheduler: str, workers: int) -> Client:
    if not scheduler:
        return Client(
            n_workers=workers or None,
            threads_per_worker=1,
            host="127.0.0.1",
            security=True,  # a certificate that is made anew, and kept in memory
            # A server for pages is always there: without pages, and on a port that is free.
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            silence_logs=logging.CRITICAL,
            set_as_default=False,
        )
    address = urlsplit(scheduler)
    try:
        # Dask would wait without end for the greeting of whoever has accepted its connection.
        with socket.create_connection((address.hostname, address.port), CONNECT_SECONDS) as probe:
            if address.scheme == "tcp" and not probe.recv(1):
                raise ConnectionError
        with warnings.catch_warnings(action="ignore"):  # other versions are refused below
            return Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError):
        raise StepError(
            f"the Dask scheduler {scheduler} does not answer; start one (dask scheduler), or leave "
            "out 'scheduler' to use this machine"
        ) from None


def _check(scheduler: str, client: Client) -> None:
    """Refuse a cluster that has no workers, or other versions of what is NEEDED."""
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except TimeoutError:
        raise StepError(
            f"the Dask scheduler {scheduler} has no workers; start some (dask worker {scheduler})"
        ) from None
    versions = client.get_versions(packages=list(NEEDED))
    # Patch releases of Python, such as 3.11.9.final.0, understand each other.
    here, *nodes = (
        {**node["packages"], "python": ".".join(node["packages"]["python"].split(".")[:2])}
        for node in (versions["client"], versions["scheduler"], *versions["workers"].values())
    )
    lacking = {
        f"{name} {here[name]} is needed, {node.get(name) or 'none'} is there"
        for node in nodes
        for name in (*NEEDED, "python")
        if node.get(name) != here[name]
    }
    if lacking:
        raise StepError(
            f"the Dask scheduler {scheduler} or its workers lack what this project needs: "
            f"{'; '.join(sorted(lacking))}. Start them in an environment made from requirements.txt"
        )


def _send_code(scheduler: str, client: Client) -> None:
    """Put this project's code on the scheduler and every worker, also those that come later."""
    packages = (ROOT / name for name in ("clinical", "risk_model", "steps"))
    sources = sorted(path for package in packages for path in package.rglob("*.py"))
    files = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in sources}
    digest = tokenize(files)

    def loaded_from() -> str:
        import sys

        return getattr(sys.modules.get("clinical"), "__file__", "")

    places = {client.run_on_scheduler(loaded_from), *client.run(loaded_from).values()}
    if any(digest not in place for place in places - {""}):
        raise StepError(
            f"the Dask scheduler {scheduler} or its workers have loaded another version of this "
            "project: restart them, or start another cluster"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"heart-disease-model-{digest}.zip")
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                # Without its time: the same code gives the same archive.
                archive.writestr(zipfile.ZipInfo(name), content)
        # Under one name: what was sent before is not sent again to workers that come later.
        client.register_plugin(SchedulerUploadFile(str(path)), name="heart-code-scheduler")
        client.register_plugin(UploadFile(str(path)), name="heart-code")
