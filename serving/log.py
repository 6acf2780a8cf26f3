"""Structured log lines: one for each request, and one for each event of the service itself."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time


class AccessLog:
    """Writes one JSON line for each request. No path, query or body: they may be a patient's.

    Parameters
    ----------
    target : str
        ``-`` for standard output, a file's name, or empty for nowhere.
    """

    def __init__(self, target: str) -> None:
        self._descriptor: int | None = None
        if target == "-":
            self._descriptor = sys.__stdout__.fileno() if sys.__stdout__ else None
        elif target:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            self._descriptor = os.open(target, flags, 0o640)
        self._second = 0
        self._stamp = ""

    def write(self, request_id: str, method: str, route: str, status: int, seconds: float) -> None:
        """Write the line for one request."""
        if self._descriptor is None:
            return
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        level = "info" if status < 500 else "error"
        line = (
            f'{{"time":"{self._stamp}.{int((now - second) * 1000):03d}Z","level":"{level}",'
            f'"event":"request","request_id":"{request_id}","method":"{method}",'
            f'"route":"{route}","status":{status},"ms":{seconds * 1000:.3f}}}\n'
        )
        try:
            os.write(self._descriptor, line.encode())
        except OSError:
            # A log that nobody reads any more must not fail requests.
            self._descriptor = None


def log_event(event: str, level: str = "info", **facts: object) -> None:
    """Write one structured line about the service itself to standard error."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    line = {"time": stamp, "level": level, "event": event, "pid": os.getpid(), **facts}
    # Where nobody reads standard error there is no other place to say so.
    with contextlib.suppress(OSError):
        os.write(2, (json.dumps(line, default=str) + "\n").encode())


def log_failure(error: BaseException, request_id: str | None) -> None:
    """Write that a request failed inside the service."""
    name = type(error).__name__
    log_event("failure", "error", request_id=request_id, error=name, where=_where(error))


def _where(error: BaseException) -> str:
    """Return the lines of code that an error went through, without its text: it may hold values."""
    frames = []
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        frames.append(f"{os.path.basename(code.co_filename)}:{traceback.tb_lineno}")
        traceback = traceback.tb_next
    return " > ".join(frames[-6:])
