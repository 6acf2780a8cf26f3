"""The process of a step: its signals, which close its runs as KILLED, and its garbage collector."""

from __future__ import annotations

import atexit
import gc
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
AGAIN_SECONDS = 0.05


def pause_garbage_collection() -> None:
    """Spare the garbage collector what imports make: it would look through it time and again."""
    gc.disable()
    atexit.register(gc.freeze)  # else once more at the end


def resume_garbage_collection() -> None:
    """Collect garbage again, where that was paused, but not the objects of imports."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def unwind() -> None:
    """Let either signal raise KeyboardInterrupt, once."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def _stop(number: int, _frame: FrameType | None) -> None:
    # Ctrl-C reaches every process of a terminal, and MLflow sends a SIGTERM after it: the second
    # one must not interrupt what the first one has begun, nor MLflow change its error.
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    logging.disable()
    sys.unraisablehook = _stop_again
    raise KeyboardInterrupt(f"stopped by {signal.Signals(number).name}")


def _stop_again(lost: sys.UnraisableHookArgs) -> None:
    """Interrupt anew where the exception fell into a callback or destructor, which swallow it."""
    if isinstance(lost.exc_value, KeyboardInterrupt):
        signal.signal(signal.SIGALRM, _stop)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
    else:
        sys.__unraisablehook__(lost)


@contextmanager
def deferred() -> Iterator[None]:
    """Let the signals wait for the end of the block: an import cut short leaves half a module."""
    received: list[int] = []
    ours = [number for number in SIGNALS if signal.getsignal(number) is _stop]
    for number in ours:
        signal.signal(number, lambda number, _: received.append(number))
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, _stop)
    if received:
        _stop(received[0], None)
