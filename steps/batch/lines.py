"""The lines of text that begin in a partition of a file, wherever its cuts fall."""

from __future__ import annotations

import re

import numpy as np

from clinical.errors import DataError
from steps.batch.inputs import Partition

LINE_BYTES = 1 << 16


def read_lines(partition: Partition) -> bytes:
    """Return the lines that begin in a partition of a text file, whole, without blank ones.

    Raises
    ------
    DataError
        Where a line is too long, or the file is shorter than it was.
    """
    file, start, stop = partition.file, partition.start, partition.stop
    if start == file.begin:
        data = file.fetch(start, stop)
    else:
        # With the byte before: where it ends a line, the next one begins here.
        data = file.fetch(start - 1, stop)
        data = data[data.find(b"\n") + 1 :] if b"\n" in data else b""
    if data and not data.endswith(b"\n") and stop < file.size:
        more = file.fetch(stop, min(stop + LINE_BYTES, file.size))
        end = more.find(b"\n") + 1
        if not end and len(more) == LINE_BYTES:
            raise DataError(f"'{file.name}' has a line of more than {LINE_BYTES} characters")
        data += more[:end] if end else more
    return _without_blank_lines(data)


def _without_blank_lines(data: bytes) -> bytes:
    if (
        _has_pair(data)
        or data.startswith((b"\n", b"\r\n"))
        or (b"\r" in data and b"\n\r\n" in data)
    ):
        return re.sub(rb"(?m)^\r?\n", b"", data)
    return data


# These two look at every byte of the input, several times as fast as methods of `bytes` do.
def _has_pair(data: bytes) -> bool:
    """Tell whether a line feed follows another."""
    places = ((start, (len(data) - start) // 2) for start in (0, 1))
    return any(
        (np.frombuffer(data, "<u2", n, start) == 0x0A0A).any() for start, n in places if n > 0
    )


def count_lines(data: bytes) -> int:
    """Count lines; the last one may lack its end."""
    feeds = int(np.count_nonzero(np.frombuffer(data, np.uint8) == 0x0A))
    return feeds + (bool(data) and not data.endswith(b"\n"))
