"""What differs under gevent, where a worker's connections are greenlets of one thread."""

import contextlib
import select
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from serving.errors import Problem

T = TypeVar("T")
_WAITING = 32  # calls, at most, for the background thread


class TookTooLongError(BaseException):
    """The block did not end in its time; no Exception, for libraries in it may catch those."""


def is_patched() -> bool:
    """Tell whether this process's sockets are gevent's."""
    if "gevent.monkey" not in sys.modules:
        return False
    from gevent import monkey

    return bool(monkey.is_module_patched("socket"))


def fair_yield() -> Callable[[], None]:
    """Return what lets other connections go first: under gevent a switch, else nothing.

    A greenlet whose next request has already arrived never waits, and so would never yield.
    """
    if not is_patched():
        return lambda: None
    from gevent import sleep

    return sleep  # type: ignore[no-any-return]


def thread_lock() -> Any:
    """Return a lock of the system, which costs a request less than gevent's.

    Nothing may be done under it that lets other greenlets go on: they could wait for it in vain.
    """
    if not is_patched():
        return threading.Lock()
    from gevent.monkey import get_original

    return get_original("threading", "Lock")()


def time_limit(seconds: float) -> contextlib.AbstractContextManager[object]:
    """Raise TookTooLongError after some time, under gevent; other workers have their own limits."""
    if not is_patched():
        return contextlib.nullcontext()
    from gevent import Timeout

    return Timeout(seconds, TookTooLongError)  # type: ignore[no-any-return]


def in_thread(function: Callable[[], T]) -> T:
    """Call something long so that other requests go on meanwhile: in a real thread under gevent."""
    return in_threads([function])[0]


def in_threads(functions: Sequence[Callable[[], T]]) -> list[T]:
    """Call functions that let go of the interpreter side by side, in real threads under gevent."""
    if not is_patched():
        return [function() for function in functions]
    from gevent import get_hub

    pool = get_hub().threadpool
    return [_outcome(call.get()) for call in [pool.spawn(_settled, f) for f in functions]]


class BackgroundThread:
    """One real thread under gevent, in which long calls run one at a time.

    Many at once would leave the thread of all other requests its share of the processor only.
    """

    def __init__(self) -> None:
        self._places = 1 + _WAITING
        self._pool: Any = None

    def __call__(self, function: Callable[[], T], environ: Mapping[str, Any] | None = None) -> T:
        """Call a function there, and wait for it as a greenlet does.

        Raises a `Problem` (503) where too many wait already, or where the client of the request
        that it is for (environ) has left before its turn came.
        """
        if not is_patched():
            return function()
        if self._pool is None:
            from gevent.threadpool import ThreadPool

            self._pool = ThreadPool(1)
        if environ is not None and has_left(environ):
            raise Problem(503, "The client has left.")
        if not self._places:
            raise Problem(
                503, "Too many such requests wait already; try again.", headers={"Retry-After": "2"}
            )

        def unless_left() -> T:
            if environ is not None and has_left(environ):
                raise Problem(503, "The client has left.")
            return function()

        self._places -= 1
        try:
            result: T = _outcome(self._pool.apply(_settled, (unless_left,)))
        finally:
            self._places += 1
        return result


def has_left(environ: Mapping[str, Any]) -> bool:
    """Return whether the client of a request has closed its connection, as far as is visible."""
    connection = environ.get("gunicorn.socket")
    if connection is None or not is_patched() or not hasattr(select, "POLLRDHUP"):
        return False
    if connection.fileno() < 0:
        return True
    from gevent.monkey import get_original

    poll = get_original("select", "poll")()
    poll.register(connection.fileno(), select.POLLRDHUP)
    return bool(poll.poll(0))


def _settled(function: Callable[[], T]) -> tuple[T | None, Exception | None]:
    """Return a call's result or error: gevent would print an error raised in its threads."""
    try:
        return function(), None
    except Exception as error:
        return None, error


def _outcome(settled: tuple[T | None, Exception | None]) -> T:
    result, error = settled
    if error is None:
        return result  # type: ignore[return-value]
    try:
        raise error
    finally:
        del error, settled  # else error and frame hold each other, and all that was being read
