"""Messages to the user."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from steps.parameters.uris import redact_credentials


def echo(text: str) -> None:
    """Print a text on standard error at once, without the credentials in it."""
    print(redact_credentials(text), file=sys.stderr, flush=True)


class _Unread:
    """A stream that goes on where its reader has closed it; what is written then is lost."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            self._discard()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._discard()

    def _discard(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


def outlive_readers() -> None:
    """Let no output of this process fail because its reader has ended, as in ``| head``."""
    sys.stdout, sys.stderr = _Unread(sys.stdout), _Unread(sys.stderr)
