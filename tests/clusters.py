"""A Dask cluster that runs already: a scheduler and workers of their own, on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

DASK = str(Path(sys.executable).with_name("dask"))


@dataclass
class Cluster:
    """The address of a scheduler, its process, and those of its workers."""

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]


@contextmanager
def running(
    folder: Path, workers: int = 2, env: Mapping[str, str] | None = None
) -> Iterator[Cluster]:
    """Run a scheduler and workers, started in a folder where nothing of this project lies."""
    file = folder / "scheduler.json"
    words = [DASK, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    log = (folder / "cluster.log").open("ab")
    scheduler = subprocess.Popen([*words, "--scheduler-file", str(file)], cwd=folder,
                                 env=env, stdout=log, stderr=log)  # fmt: skip
    started = [scheduler]
    try:
        made = Cluster(_address(file), scheduler, [])
        words = [DASK, "worker", made.address, "--host", "127.0.0.1", "--nthreads", "1",
                 "--no-dashboard", "--no-nanny"]  # fmt: skip
        made.workers = [
            subprocess.Popen(words, cwd=folder, env=env, stdout=log, stderr=log)
            for _ in range(workers)
        ]
        started += made.workers
        yield made
    finally:
        for process in started:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
            process.wait()
        log.close()


def _address(file: Path, seconds: float = 60) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            return str(json.loads(file.read_text())["address"])
        except (OSError, ValueError):
            time.sleep(0.1)
    raise AssertionError(f"no scheduler within {seconds} s")
