"""Messages to the user."""

import io
import os
import sys
from typing import Any

from steps.parameters.uris import redact_credentials


def echo(text: str) -> None:
    """Print a text on standard error at once, without the credentials in it."""
    print(redact_credentials(text), file=sys.stderr, flush=True)


class _Unread(io.FileIO):
    """An output that goes on where its reader has closed it; what is written then is lost."""

    def write(self, data: Any, /) -> int:
        try:
            # None where the output takes nothing at the moment.
            return super().write(data) or len(data)
        except OSError:
            return len(data)


def outlive_readers() -> None:
    """Let no output of this process fail because its reader has ended, as in ``| head``."""
    for name, stream in (("stdout", sys.stdout), ("stderr", sys.stderr)):
        # One may be closed from the beginning, and a console of Windows is no file.
        if stream is None or (os.name == "nt" and stream.isatty()):
            continue
        output = io.BufferedWriter(_Unread(stream.fileno(), "w", closefd=False))
        text = io.TextIOWrapper(output, stream.encoding, stream.errors, line_buffering=True)
        setattr(sys, name, text)
