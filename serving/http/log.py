"""Structured log lines: one for each request, and one for each event of the service itself."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
import time

from serving.settings import SettingError


class AccessLog:
    """Writes one JSON line for each request. No path, query or body: they may be a patient's.

    A log that cannot be written, such as on a full disk or into a pipe that nobody empties, fails
    and holds up no request: its lines are lost, counted, and the gap is told in the log itself as
    soon as it takes lines again.

    Parameters
    ----------
    target : str
        ``-`` for standard output, a file's name, or empty for nowhere.

    Raises
    ------
    SettingError
        Where there can be no such file.
    """

    def __init__(self, target: str) -> None:
        self._descriptor = _open(target)
        self._second = 0
        self._stamp = ""
        self._lost = 0
        self._torn = b""

    def write(self, request_id: str, method: str, route: str, status: int, seconds: float) -> bool:
        """Write the line for one request; tell whether it was, where lines are wanted."""
        if self._descriptor is None:
            return True
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        level = "info" if status < 500 else "error"
        head = f'{{"time":"{self._stamp}.{int((now - second) * 1000):03d}Z","level":'
        line = (
            f'{head}"{level}",'
            f'"event":"request","request_id":"{request_id}","method":"{method}",'
            f'"route":"{route}","status":{status},"ms":{seconds * 1000:.3f}}}\n'
        )
        if self._lost:
            line = f'{head}"error","event":"log.gap","lines_lost":{self._lost}}}\n{line}'
        return self._put(self._torn + line.encode())

    def _put(self, content: bytes) -> bool:
        assert self._descriptor is not None
        try:
            written = os.write(self._descriptor, content)
        except OSError:
            self._lost += 1
            return False
        if written < len(content):  # the last bytes of a disk: the next line must not join on
            self._lost += 1
            self._torn = b"\n"
            return False
        self._lost, self._torn = 0, b""
        return True


def _open(target: str) -> int | None:
    """Return what to write to; a pipe is opened anew, so that it makes nobody wait."""
    if target not in ("", "-"):
        try:
            return os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        except OSError as error:
            words = f"HEART_ACCESS_LOG must be a file that can be written: {error.strerror}."
            raise SettingError(words) from None
    if not target or sys.__stdout__ is None:
        return None
    descriptor = sys.__stdout__.fileno()
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        with contextlib.suppress(OSError):
            # Another opening of the same pipe: whoever else has it keeps what they had.
            return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK)
    return descriptor


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
