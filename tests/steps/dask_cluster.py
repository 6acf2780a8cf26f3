"""A Dask cluster as somebody else would have started it, on this machine."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from distributed import Client

from tests.servers import closed_port

#: A worker must find the project by what it is sent, not by where it was started; a nanny would
#: keep it to one thread.
ELSEWHERE = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}


class Cluster:
    """A scheduler and its workers, each a process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"tcp://127.0.0.1:{closed_port()}"
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(
        self, *words: str, python: tuple[str, ...] = (), before: Sequence[str] = (), **env: str
    ) -> subprocess.Popen[bytes]:
        with (self.folder / f"{words[0]}.log").open("ab") as log:
            process = subprocess.Popen(
                [*before, sys.executable, *python, "-m", "dask", *words, "--host", "127.0.0.1",
                 "--no-dashboard"],
                cwd=self.folder, env={**ELSEWHERE, **env}, stdout=log, stderr=log,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def start_worker(
        self, python: tuple[str, ...] = (), before: Sequence[str] = (), **env: str
    ) -> subprocess.Popen[bytes]:
        words = ("--nthreads", "1", "--no-nanny", "--local-directory", str(self.folder / "scratch"))
        return self.start("worker", self.address, *words, python=python, before=before, **env)

    def wait_for_workers(self, count: int) -> None:
        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=120)


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[Cluster]:
    """Run a scheduler with workers while the block lasts."""
    made = Cluster(folder)
    try:
        made.start("scheduler", "--port", made.address.rpartition(":")[2])
        Client(made.address, timeout=60, set_as_default=False).close()
        for _ in range(workers):
            made.start_worker()
        if workers:
            made.wait_for_workers(workers)
        yield made
    finally:
        for process in made.processes:
            process.kill()
            process.wait()
