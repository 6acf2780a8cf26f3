"""The files in which workers keep their metrics, on a disk that may be full.

prometheus_client maps files that have no blocks yet. A write to such a page while the disk is full
ends the process (SIGBUS), and each one that follows it. So the blocks are reserved first, and
where there are none the metrics of this worker are kept in memory, where /metrics cannot add them.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict

from serving.http.log import log_event

_SIZE = 2**16  # that of prometheus_client
_ENTRY = 64  # what an entry takes besides its key, at most
_MARK = "incomplete_"


class ReservedDict(MmapedDict):
    """A file of metrics whose blocks are reserved before they are mapped."""

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        with open(filename, "ab") as file:
            reserved = _reserve(file.fileno(), _SIZE)
        if not reserved:
            Path(filename).unlink(missing_ok=True)
            filename = _in_memory(filename)
        super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]

    def _init_value(self, key: str) -> None:
        needed = self._used + len(key.encode()) + _ENTRY
        if needed > self._capacity and not _reserve(self._f.fileno(), 2 * self._capacity):
            self._go_on_in_memory()
        super()._init_value(key)  # type: ignore[no-untyped-call]

    def _go_on_in_memory(self) -> None:
        content, self._capacity = self._m[: self._used], 2 * self._capacity
        self._f = open(_in_memory(self._fname), "r+b")  # noqa: SIM115 -- as long as this is there
        self._f.truncate(self._capacity)
        self._m = mmap.mmap(self._f.fileno(), self._capacity)
        self._m[: self._used] = content


def _reserve(descriptor: int, size: int) -> bool:
    """Reserve blocks; return whether there are any. Not every system can (macOS)."""
    if not hasattr(os, "posix_fallocate"):
        return True
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError:
        return False
    return True


def _in_memory(filename: str) -> str:
    """Return what can be opened in place of a file for which there is no room."""
    log_event("metrics.incomplete", "error", why="no room on the disk", worker=os.getpid())
    with contextlib.suppress(OSError):
        Path(filename).with_name(f"{_MARK}{os.getpid()}").touch()
    return f"/proc/self/fd/{os.memfd_create('metrics')}"


def incomplete(folder: str) -> int:
    """Return of how many workers the metrics are missing."""
    return len(list(Path(folder).glob(f"{_MARK}*")))


def forget(folder: str, pid: int) -> None:
    """Forget that the metrics of a worker are missing."""
    Path(folder, f"{_MARK}{pid}").unlink(missing_ok=True)
