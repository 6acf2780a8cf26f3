"""Where work is spread over processes: a Dask cluster of this machine, or one that runs already."""

from __future__ import annotations

import hashlib
import io
import logging
import socket
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dask.config
from dask.system import CPU_COUNT
from distributed import Client, LocalCluster
from distributed.client import FutureCancelledError
from distributed.comm import CommClosedError
from distributed.diagnostics.plugin import SchedulerUploadFile, UploadFile
from distributed.scheduler import KilledWorker
from distributed.versions import VersionMismatchWarning, get_versions

from steps.batch import forkserver
from steps.runs.files import ROOT
from steps.runs.store import StepError

PACKAGES = ("clinical", "risk_model", "steps")
"""What is sent to the workers of a cluster that runs already."""

NEEDED = (
    "cloudpickle", "dask", "distributed", "fsspec", "joblib", "numpy", "onnxruntime", "pandas",
    "pyarrow", "scikit-learn", "scipy", "skops",
)  # fmt: skip
"""What must be there in the version that is here: tasks and results are objects of these."""

CONNECT_SECONDS = 5
CODE = "heart-disease-model"


@contextmanager
def connect(scheduler: str = "", workers: int | None = None) -> Iterator[Client]:
    """Give a client of a Dask cluster while the block lasts.

    Parameters
    ----------
    scheduler : str
        The address of a scheduler that runs already, such as ``tcp://host:8786``: this project's
        code is sent to its workers. Empty: a cluster of this machine, which ends with the block,
        listens on loopback alone, and has one thread in each of its worker processes.
    workers : int, optional
        The worker processes of a cluster of this machine; by default one for each core.

    Raises
    ------
    StepError
        With one line where the scheduler does not answer within seconds, has no workers, or they
        lack what the project needs; and where the cluster is lost within the block.
    """
    settings = {
        "distributed.comm.timeouts.connect": f"{CONNECT_SECONDS}s",
        # No pages about the patients' tasks, whoever else uses this machine.
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
        "distributed.worker.multiprocessing-method": forkserver.METHOD,
        "distributed.worker.profile.enabled": False,
    }
    with _quiet(), dask.config.set(settings), _loss_told():
        if scheduler:
            with _join(scheduler) as client:
                _check(scheduler, client)
                _send_code(scheduler, client)
                yield client
        else:
            with _own_cluster(workers) as cluster, Client(cluster, set_as_default=False) as client:
                yield client


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask from telling of its own comings and goings; what fails is raised all the same."""
    # Dask gives its clients a level of their own.
    loggers = {name: logging.getLogger(name) for name in ("distributed", "distributed.client")}
    before = {name: logger.level for name, logger in loggers.items()}
    for logger in loggers.values():
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, logger in loggers.items():
            logger.setLevel(before[name])


@contextmanager
def _loss_told() -> Iterator[None]:
    """Say in a line that a cluster which has worked does so no more."""
    try:
        yield
    except KilledWorker:
        raise StepError(
            "a task has killed one Dask worker after the other, as lack of memory does; "
            "the logs of the workers tell more"
        ) from None
    except (FutureCancelledError, CommClosedError):
        raise StepError("the connection to the Dask scheduler was lost; start again") from None


def _own_cluster(workers: int | None) -> LocalCluster:
    return LocalCluster(
        n_workers=workers or CPU_COUNT,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        # A server for pages is always there: without pages, and on a port that is free.
        dashboard_address="127.0.0.1:0",
        scheduler_kwargs={"dashboard": False},
        silence_logs=logging.CRITICAL,
    )


def _join(scheduler: str) -> Client:
    try:
        _knock(scheduler)
        with warnings.catch_warnings():
            # Told by `_check`, package by package.
            warnings.simplefilter("ignore", VersionMismatchWarning)
            return Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError):
        raise StepError(
            f"the Dask scheduler {scheduler} does not answer; start one (dask scheduler), or leave "
            "out 'scheduler' to use this machine"
        ) from None


def _knock(scheduler: str) -> None:
    """Hear a scheduler's greeting: Dask would wait for it without end."""
    parts = urlsplit(scheduler)
    with socket.create_connection((parts.hostname, parts.port), CONNECT_SECONDS) as caller:
        if parts.scheme == "tcp" and not caller.recv(1):
            raise ConnectionError("closed without a greeting")


def _check(scheduler: str, client: Client) -> None:
    """Refuse a cluster without workers, and one whose workers have other versions or none."""
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except TimeoutError:
        raise StepError(
            f"the Dask scheduler {scheduler} has no workers; start some (dask worker {scheduler})"
        ) from None
    here = _versions(get_versions(packages=NEEDED))
    there = client.get_versions(packages=list(NEEDED))
    problems: dict[str, None] = {}
    for node in (there["scheduler"], *there["workers"].values()):
        found = _versions(node)
        problems |= {
            f"{name} {version} is needed, {found.get(name) or 'none'} is there": None
            for name, version in here.items()
            if found.get(name) != version
        }
    if problems:
        raise StepError(
            f"the Dask scheduler {scheduler} or its workers lack what this project needs: "
            f"{'; '.join(problems)}. Start them in an environment made from requirements.txt"
        )


def _versions(found: Mapping[str, Any]) -> dict[str, str | None]:
    packages = dict(found["packages"])
    # Patch releases of Python understand each other.
    python = ".".join(str(found["host"]["python"]).split(".")[:2])
    return {"python": python, **{name: packages.get(name) for name in NEEDED}}


def _send_code(scheduler: str, client: Client) -> None:
    """Put this project's code on the scheduler and every worker, also those that come later.

    Other code of this project gives way to it, but not while tasks are there that may be its own.
    """
    content = _archive()
    name = f"{CODE}-{hashlib.sha256(content).hexdigest()[:12]}.zip"

    def is_other(path: str) -> bool:
        import re

        return bool(re.search(rf"{CODE}-[0-9a-f]{{12}}\.zip$", path)) and not path.endswith(name)

    def is_taken(dask_scheduler: Any) -> bool:
        import sys

        return bool(dask_scheduler.tasks) and any(map(is_other, sys.path))

    def forget_other_code() -> None:
        # Who has served another version of this project has its modules loaded.
        import sys

        sys.path[:] = [path for path in sys.path if not is_other(path)]
        for module in [m for m in sys.modules if m.partition(".")[0] in PACKAGES]:
            if name not in str(getattr(sys.modules[module], "__file__", "")):
                del sys.modules[module]

    if client.run_on_scheduler(is_taken):
        raise StepError(
            f"the Dask scheduler {scheduler} is at work with another version of this project; "
            "wait, or start another cluster"
        )
    client.run(forget_other_code)
    client.run_on_scheduler(forget_other_code)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        # The scheduler reads the tasks too. One name each: the next version takes its place.
        client.register_plugin(SchedulerUploadFile(str(path)), name=f"{CODE}-scheduler")
        client.register_plugin(UploadFile(str(path)), name=CODE)


def _archive() -> bytes:
    """Return the project's packages as a zip that is the same for the same code."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for package in PACKAGES:
            for path in sorted((ROOT / package).rglob("*.py")):
                archive.writestr(
                    zipfile.ZipInfo(path.relative_to(ROOT).as_posix()), path.read_bytes()
                )
    return buffer.getvalue()
