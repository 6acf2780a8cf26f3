"""Structured log lines: one for each request, and one for each event of the service itself."""

import contextlib
import errno
import json
import logging
import os
import stat
import sys
import time
from collections.abc import Mapping
from typing import Any

from serving.settings import SettingError


class AccessLog:
    """Writes one JSON line for each request. No path, query or body: they may be a patient's.

    A log that cannot be written, such as on a full disk or into a pipe without a reader, fails
    and holds up no request: its lines are lost and counted, and the log itself reports the gap as
    soon as it takes lines again.

    Parameters
    ----------
    target : str
        ``-`` for standard output, a file's name, or empty for nowhere.

    Raises a `SettingError` where there can be no such file.
    """

    def __init__(self, target: str) -> None:
        self._descriptor = _open(target)
        self._second = 0
        self._stamp = ""
        self._lost = 0
        self._torn = b""

    def write(self, request_id: str, method: str, route: str, status: int, seconds: float) -> bool:
        """Write the line for one request; return whether it was written, where lines are on."""
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
        content = self._torn + line.encode()
        try:
            whole = os.write(self._descriptor, content) == len(content)
            # The last bytes of a disk: the next line must not join on.
            self._torn = b"" if whole else b"\n"
        except OSError:
            whole = False
        self._lost = 0 if whole else self._lost + 1
        return whole


def _open(target: str) -> int | None:
    """Return the descriptor to write to; a pipe is opened anew, so that a write never blocks."""
    if target not in ("", "-"):
        try:
            _refuse_planted(target)
            return os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        except OSError as error:
            problem = f"HEART_ACCESS_LOG must be a file that can be written: {error.strerror}."
            raise SettingError(problem) from None
    if not target or sys.__stdout__ is None:
        return None
    descriptor = sys.__stdout__.fileno()
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        with contextlib.suppress(OSError):
            # Another opening of the same pipe: whoever else has it keeps what they had.
            return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK)
    return descriptor


def _refuse_planted(target: str) -> None:
    """Refuse a link that somebody else has put in the place of the log."""
    if os.path.islink(target) and os.lstat(target).st_uid not in (os.geteuid(), 0):
        raise PermissionError(errno.EPERM, "it is a link that belongs to somebody else")


def log_event(event: str, level: str = "info", **fields: object) -> None:
    """Write one structured line about the service itself to standard error."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    line = {"time": stamp, "level": level, "event": event, "pid": os.getpid(), **fields}
    # Where standard error is closed there is no other place to report it.
    with contextlib.suppress(OSError):
        os.write(2, (json.dumps(line, default=str) + "\n").encode())


def log_failure(
    error: BaseException, request_id: str | None = None, event: str = "failure"
) -> None:
    """Write that a request, or something else, failed inside the service."""
    name, why = type(error).__name__, getattr(error, "strerror", None)
    log_event(event, "error", request_id=request_id, error=name, why=why, where=_where(error))


def protect_server_log() -> None:
    """Keep what clients have sent out of gunicorn's own messages, however it was started."""
    for name, hide in (("gunicorn.error", _hide_request), ("gunicorn.access", _hide_target)):
        logger = logging.getLogger(name)
        if hide not in logger.filters:
            logger.addFilter(hide)


def _hide_request(record: logging.LogRecord) -> bool:
    """Leave of a message about a request what kind of fault it was, and where.

    gunicorn repeats what it cannot parse, and a traceback its error's message: any of it may be
    the rest of a patient whose client has miscounted.
    """
    head = record.msg.partition("%")[0].strip(" .") if isinstance(record.msg, str) else "Failure"
    error = record.exc_info[1] if record.exc_info else None
    if head.startswith("Invalid request from"):
        record.msg = f"{head.partition(': ')[0]}: {type(sys.exception()).__name__}"
    elif isinstance(error, SettingError):
        record.msg = str(error)
    elif error is not None:
        record.msg = f"{head}: {type(error).__name__} at {_where(error)}"
    elif record.levelno <= logging.DEBUG:
        if not head:
            return False
        record.msg = head
    else:
        return True  # about workers and sockets
    record.args, record.exc_info, record.exc_text = (), None, None
    return True


_OF_THE_CONNECTION = frozenset("hltsbBTDMLpH")


def _hide_target(record: logging.LogRecord) -> bool:
    """Remove the client's own text from a record of gunicorn's access log."""
    if isinstance(record.args, Mapping):
        kind: Any = type(record.args)  # gunicorn's own, in which what is not there is "-"
        record.args = kind({k: v for k, v in record.args.items() if k in _OF_THE_CONNECTION})
    return True


def log_uncaught(_context: object, kind: type[BaseException], error: object, _rest: object) -> None:
    """Write that a greenlet failed, in place of gevent, which prints the error and its owner."""
    log_failure(error if isinstance(error, BaseException) else kind(), event="greenlet.failed")


def _where(error: BaseException) -> str:
    """Return the lines of code that an error went through, without its text: it may hold values."""
    frames = []
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        frames.append(f"{os.path.basename(code.co_filename)}:{traceback.tb_lineno}")
        traceback = traceback.tb_next
    return " > ".join(frames[-6:])
