"""The files of patients that a job is to score: found, laid out, and divided into partitions.

Nothing here reads more than the beginning of a file, or its footer.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import takewhile
from pathlib import PurePosixPath
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from clinical.coding import coding_of_label
from clinical.dialects import Dialect
from clinical.errors import DataError
from clinical.schema import FEATURE_NAMES
from clinical.tables import Layout, inspect, is_index, is_numeric

SUFFIXES = (".csv", ".data", ".parquet", ".pq", ".tsv", ".txt")
"""The files that are taken from a folder; a file that is named may be called anything."""

ID_COLUMNS = ("id", "patient_id")
"""The columns that may name a patient, and then go into the output as they are."""

PACKED = (".bz2", ".gz", ".xz", ".zip", ".zst")
"""Files that are refused rather than left out of a folder: rows might be in them."""

PEEK = 1 << 16
TEXT_BYTES = 12 << 20
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
    def filesystem(self) -> Any:
        """The fsspec filesystem that has it."""
        return filesystem(self.url)

    @property
    def is_text(self) -> bool:
        """Whether it is text, rather than Parquet."""
        return bool(self.layout.delimiter)

    @property
    def id_column(self) -> str | None:
        """The column that names its patients."""
        return next((name for name in ID_COLUMNS if name in self.layout.names), None)

    @cached_property
    def label_coding(self) -> Dialect | None:
        """The coding that its label column stands for."""
        return coding_of_label(self.layout.names)

    @property
    def unused(self) -> list[str]:
        """The columns that mean nothing here."""
        known = (*FEATURE_NAMES, self.id_column, "num", "target", "disease")
        return [n for n in self.layout.names if n not in known and not is_index(n)]

    def fetch(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` to `stop`.

        Raises
        ------
        DataError
            Where there are not so many any more.
        """
        data = _fetch(self.url, self.size, start, stop)
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


def filesystem(url: str) -> Any:
    """Return the fsspec filesystem of a URL; S3 is where MLflow's artifacts would be."""
    protocol = fsspec.core.split_protocol(url)[0] or "file"
    endpoint = os.environ.get("MLFLOW_S3_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL")
    options: dict[str, Any] = {}
    if endpoint and protocol in ("s3", "s3a"):
        options = {"endpoint_url": endpoint}
    elif protocol in ("http", "https"):
        options = {"client_kwargs": {"trust_env": True}}  # ~/.netrc and proxies
    return fsspec.filesystem(protocol, **options)


def _fetch(url: str, size: int, start: int, stop: int) -> bytes:
    if start == stop:
        return b""
    # Not every web server gives parts: what is small is asked for from its beginning.
    begin = start if size > PEEK else 0
    with filesystem(url).open(url, "rb", cache_type="none", size=size) as file:
        file.seek(begin)
        return bytes(file.read(stop - begin)[start - begin :])


def find(source: str) -> list[File]:
    """Return the files that a path, folder, glob or fsspec URL names, in the order of their names.

    Raises
    ------
    DataError
        With one line: nothing there, or a file that is none of patients.
    """
    try:
        fs = filesystem(source)
        fs.invalidate_cache()  # else a change since the last look would not be seen
        urls = _urls(fs, source)
        return [_inspect(fs, url, name) for url, name in zip(urls, _names(urls), strict=True)]
    except DataError:
        raise
    except Exception as error:
        # Every fsspec protocol has errors of its own: no such bucket, no package for it, ...
        raise DataError(f"'{source}' cannot be read: {_words(error)}") from None


def _words(error: Exception) -> str:
    said = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    return said or type(error).__name__


def _urls(fs: Any, source: str) -> list[str]:
    path = fs._strip_protocol(source)
    if fs.isdir(path):
        suffixes = (*SUFFIXES, *PACKED)
        found = [p for p in fs.find(path) if p.lower().endswith(suffixes) and _is_shown(p, path)]
        if not found:
            raise DataError(f"the folder '{source}' has no file of {', '.join(SUFFIXES)}")
    elif fs.exists(path):
        found = [path]
    else:
        found = [p for p in fs.glob(path) if fs.isfile(p)] if re.search(r"[*?\[]", path) else []
        if not found:
            raise DataError(f"there is no file '{source}'")
    return [fs.unstrip_protocol(p) for p in sorted(found)]


def _is_shown(path: str, folder: str) -> bool:
    parts = PurePosixPath(path[len(folder) :]).parts
    return not any(part.startswith((".", "_")) for part in parts)


def _names(urls: Sequence[str]) -> list[str]:
    # What follows a web address may be a signature, which is nobody's business.
    parts = [re.sub(r"^(https?://[^?#]*).*", r"\1", url).split("/") for url in urls]
    folders = zip(*(words[:-1] for words in parts), strict=False)
    shared = sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, folders))
    return ["/".join(words[shared:]) for words in parts]


def _inspect(fs: Any, url: str, name: str) -> File:
    size, key = _size_and_key(fs, url, name)
    if name.lower().endswith(PACKED):
        raise DataError(f"'{name}' is compressed, and cannot be read in parts: unpack it first")
    start = _fetch(url, size, 0, min(PEEK, size))
    if start.startswith(b"PAR1"):
        return _parquet(fs, url, name, key, size)
    try:
        layout = inspect(start)
    except DataError as error:
        raise DataError(f"'{name}': {error}") from None
    if layout.delimiter == " ":
        raise DataError(f"'{name}': expected cells divided by commas, semicolons or tabs")
    if not layout.names and layout.width == len(FEATURE_NAMES) + 1:
        layout = Layout([*FEATURE_NAMES, "num"], layout.width, layout.delimiter, layout.skip)
    return _checked(File(url, name, key, size, layout, _end_of_header(start, layout, size, name)))


def _size_and_key(fs: Any, url: str, name: str) -> tuple[int, str]:
    path = fs._strip_protocol(url)
    info = fs.info(path)
    if info["size"] is None:
        raise DataError(f"'{name}': its server does not tell its size: download it first")
    if not url.startswith(("http://", "https://")):
        return int(info["size"]), str(fs.ukey(path))
    # For fsspec, what has the same address is the same.
    version = info.get("ETag") or info.get("Last-Modified") or _this_start()
    return int(info["size"]), str(version)


@cache
def _this_start() -> str:
    """Return the key of files of which nobody knows a version: a later start takes over nothing."""
    return secrets.token_hex()


def _end_of_header(start: bytes, layout: Layout, size: int, name: str) -> int:
    """Return the byte at which the rows begin."""
    *header, rest = start.split(b"\n", layout.skip)
    ended = len(header) == layout.skip
    lines = header if ended else [*header, rest]
    if any(b"\r" in line[:-1] for line in lines) or (not ended and size > len(start)):
        raise DataError(
            f"'{name}': lines must end in LF or CR LF, and the header within {PEEK} bytes"
        )
    if not layout.skip:
        return 3 * start.startswith(b"\xef\xbb\xbf")
    return len(start) - len(rest) if ended else size


def _parquet(fs: Any, url: str, name: str, key: str, size: int) -> File:
    try:
        with fs.open(url, "rb") as file:
            meta = pq.read_metadata(file)
    except (pa.ArrowException, OSError):
        raise DataError(f"'{name}' is not a complete Parquet file: damaged or cut off") from None
    schema = meta.schema.to_arrow_schema()
    names = [str(column).lower() for column in schema.names]
    textual = [
        column
        for column, kind in zip(names, schema.types, strict=True)
        if column in FEATURE_NAMES and not is_numeric(kind)
    ]
    if textual:
        raise DataError(f"'{name}': expected numbers in {', '.join(textual)}, found text")
    groups = tuple(meta.row_group(i).num_rows for i in range(meta.num_row_groups))
    return _checked(File(url, name, key, size, Layout(names, len(names)), groups=groups))


def _checked(file: File) -> File:
    """Refuse a file without the columns that a patient's record has."""
    names = list(file.layout.names)
    missing = [name for name in FEATURE_NAMES if name not in names]
    used = (*FEATURE_NAMES, file.id_column)
    twice = sorted({name for name in names if names.count(name) > 1 and name in used})
    if missing:
        found = "none of them" if len(missing) == len(FEATURE_NAMES) else "the others"
        raise DataError(
            f"'{file.name}': expected the columns {', '.join(FEATURE_NAMES)}; "
            f"missing: {', '.join(missing)} (found {found})"
        )
    if twice:
        raise DataError(f"'{file.name}': these columns are there twice: {', '.join(twice)}")
    try:
        _ = file.label_coding
    except DataError as error:
        raise DataError(f"'{file.name}': {error}") from None
    return file


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
