"""The files in which workers keep their metrics, on a disk that may be full.

prometheus_client maps files that have no blocks yet. A write to such a page while the disk is full
ends the process (SIGBUS), and each one that follows it. So the blocks are reserved first, and
where there are none the metrics of this worker are kept in memory, where /metrics cannot add them.
"""

import contextlib
import os
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import mark_process_dead

from serving.http.log import log_event

_SIZE = 2**18  # for some eighty challengers; what grows beyond has no blocks reserved
_MARK = "incomplete_"


class ReservedDict(MmapedDict):
    """A file of metrics whose blocks are reserved before they are mapped."""

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        try:
            with open(filename, "ab") as file:
                if hasattr(os, "posix_fallocate"):  # not on macOS
                    os.posix_fallocate(file.fileno(), 0, _SIZE)
        except OSError as error:
            Path(filename).unlink(missing_ok=True)
            filename = _in_memory(filename, error.strerror)
        super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]


def _in_memory(filename: str, why: str | None) -> str:
    """Return what can be opened in place of a file for which there is no room."""
    log_event("metrics.incomplete", "error", why=why, worker=os.getpid())
    with contextlib.suppress(OSError):
        Path(filename).with_name(f"{_MARK}{os.getpid()}").touch()
    return f"/proc/self/fd/{os.memfd_create('metrics')}"


def incomplete() -> int:
    """Return of how many workers the metrics are missing."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return len(list(Path(folder).glob(f"{_MARK}*"))) if folder else 0


def forget_worker(pid: int) -> None:
    """Drop the gauges of a worker that has ended; its counters keep counting."""
    mark_process_dead(pid)  # type: ignore[no-untyped-call]
    Path(os.environ["PROMETHEUS_MULTIPROC_DIR"], f"{_MARK}{pid}").unlink(missing_ok=True)
