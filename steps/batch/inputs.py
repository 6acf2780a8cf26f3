"""The files of patients that a job is to score: found, laid out, and divided into partitions.

Nothing here reads more than the beginning of a file, or its footer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from clinical.codings.columns import ALIASES, is_index
from clinical.codings.definitions import BY_LABEL
from clinical.errors import DataError
from clinical.layout import Layout, inspect
from clinical.schema import FEATURE_NAMES
from clinical.tables import is_numeric
from steps.batch.storage import fetch, filesystem, find_urls, names_of, size_and_key

ID_COLUMNS = ("id", "patient_id")
"""The columns that may name a patient, and then go into the output as they are."""

PEEK = 1 << 16
TEXT_BYTES = 6 << 20
ROWS = 1 << 19


@dataclass(frozen=True)
class File:
    """A file of patients.

    Parameters
    ----------
    url : str
        Where it is, for fsspec.
    name : str
        What the output and messages call it: its path below the folder that all files share.
    key : str
        Changes when the file does.
    size : int
        In bytes.
    layout : Layout
        Its columns in lower case, and what divides the cells of a text file.
    begin : int
        The byte at which the rows of a text file begin.
    groups : tuple of int
        The rows of each row group of a Parquet file.
    """

    url: str = field(repr=False)  # a worker's log shows what it failed at, and a URL may be signed
    name: str
    key: str
    size: int
    layout: Layout
    begin: int = 0
    groups: tuple[int, ...] = ()

    @property
    def is_text(self) -> bool:
        """Whether it is text, rather than Parquet."""
        return bool(self.layout.delimiter)

    @property
    def id_column(self) -> str | None:
        """The column that names its patients."""
        return next((name for name in ID_COLUMNS if name in self.layout.names), None)

    @property
    def label(self) -> str | None:
        """Its label, which may show its coding and is not used otherwise; None among several."""
        labels = [name for name in BY_LABEL if name in self.layout.names]
        return labels[0] if len(labels) == 1 else None

    @property
    def unused(self) -> list[str]:
        """The columns that mean nothing here."""
        known = (*FEATURE_NAMES, self.id_column, *BY_LABEL)
        return [n for n in self.layout.names if n not in known and not is_index(n)]

    def fetch(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` to `stop`.

        Raises
        ------
        DataError
            Where there are not so many any more.
        """
        data = fetch(self.url, self.size, start, stop)
        if len(data) < stop - start:
            raise DataError(f"'{self.name}' is shorter than it was when the job began")
        return data


@dataclass(frozen=True)
class Partition:
    """A part of a file that one task reads.

    Parameters
    ----------
    file : File
    start, stop : int
        In a text file, the bytes in which its rows begin; in Parquet, rows of the row group.
    group : int
        The row group.
    """

    file: File
    start: int
    stop: int
    group: int = 0


def find(source: str) -> list[File]:
    """Return the files that a path, folder, glob or fsspec URL names, in the order of their names.

    Raises
    ------
    DataError
        With one line: nothing there, or a file that is none of patients.
    """
    try:
        urls = find_urls(source)
        return [_named(url, name) for url, name in zip(urls, names_of(urls), strict=True)]
    except DataError:
        raise
    except Exception as error:
        # Every fsspec protocol has errors of its own: no such bucket, no package for it, ...
        raise DataError(f"'{source}' cannot be read: {_words(error)}") from None


def _words(error: Exception) -> str:
    said = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    return said or type(error).__name__


def _named(url: str, name: str) -> File:
    try:
        file = _inspect(url, name)
        _check(file)
    except DataError as error:
        raise DataError(f"'{name}': {error}") from None
    return file


def _inspect(url: str, name: str) -> File:
    size, key = size_and_key(url)
    start = fetch(url, size, 0, min(PEEK, size))
    if start.startswith(b"PAR1"):
        names, groups = _parquet(url)
        return File(url, name, key, size, Layout(names, len(names)), groups=groups)
    layout = inspect(start)
    if layout.delimiter == " ":
        raise DataError("expected cells divided by commas, semicolons or tabs")
    if layout.decimal != ".":
        raise DataError("expected a point before decimals, found a comma")
    if not layout.names and layout.width == len(FEATURE_NAMES) + 1:
        layout = Layout([*FEATURE_NAMES, "num"], layout.width, layout.delimiter, layout.skip)
    return File(url, name, key, size, layout, _end_of_header(start, layout.skip, size))


def _end_of_header(start: bytes, skip: int, size: int) -> int:
    """Return the byte at which the rows begin."""
    *header, rest = start.split(b"\n", skip)
    ended = len(header) == skip
    lines = header if ended else [*header, rest]
    if any(b"\r" in line[:-1] for line in lines) or (not ended and size > len(start)):
        raise DataError(f"lines must end in LF or CR LF, and the header within {PEEK} bytes")
    if not skip:
        return 3 * start.startswith(b"\xef\xbb\xbf")
    return len(start) - len(rest) if ended else size


def _parquet(url: str) -> tuple[list[str], tuple[int, ...]]:
    """Return the columns of a Parquet file, and the rows of each of its row groups."""
    try:
        with filesystem(url).open(url, "rb") as file:
            meta = pq.read_metadata(file)
    except (pa.ArrowException, OSError):
        raise DataError("it is not a complete Parquet file: damaged or cut off") from None
    schema = meta.schema.to_arrow_schema()
    names = [str(column).lower() for column in schema.names]
    textual = [
        column
        for column, kind in zip(names, schema.types, strict=True)
        if column in FEATURE_NAMES and not is_numeric(kind)
    ]
    if textual:
        raise DataError(f"expected numbers in {', '.join(textual)}, found text")
    return names, tuple(meta.row_group(i).num_rows for i in range(meta.num_row_groups))


def _check(file: File) -> None:
    """Refuse a file without the columns that a patient's record has."""
    names, used = list(file.layout.names), (*FEATURE_NAMES, file.id_column)
    missing = [name for name in FEATURE_NAMES if name not in names]
    twice = sorted({name for name in names if names.count(name) > 1 and name in used})
    if missing:
        found = "none of them" if len(missing) == len(FEATURE_NAMES) else "the others"
        raise DataError(
            f"expected the columns {', '.join(FEATURE_NAMES)}; "
            f"missing: {', '.join(missing)} (found {found}){_renames(names)}"
        )
    if twice:
        raise DataError(f"these columns are there twice: {', '.join(twice)}")


def _renames(names: list[str]) -> str:
    renames = [f"rename '{name}' to {ALIASES[name]}" for name in names if name in ALIASES]
    return "; " + ", ".join(renames) if renames else ""


def divide(file: File) -> list[Partition]:
    """Divide a file into partitions of about the same size, none of which is large."""
    if file.is_text:
        cuts = _cuts(file.begin, file.size, TEXT_BYTES)
        return [Partition(file, start, stop) for start, stop in cuts]
    return [
        Partition(file, start, stop, group)
        for group, rows in enumerate(file.groups or (0,))
        for start, stop in _cuts(0, rows, max(ROWS, -(-rows // 8)))
    ]


def _cuts(begin: int, end: int, most: int) -> list[tuple[int, int]]:
    # One at least: no rows give an output without rows, rather than none.
    parts = max(1, -(-(end - begin) // most))
    at = [begin + (end - begin) * i // parts for i in range(parts)]
    return list(zip(at, [*at[1:], end], strict=True))
