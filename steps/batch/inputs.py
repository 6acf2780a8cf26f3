"""The files of patients that a job scores: listed, inspected, divided into partitions, read."""

import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.core import url_to_fs
from fsspec.utils import read_block

from clinical.codings.columns import require_features
from clinical.codings.definitions import BY_LABEL
from clinical.errors import DataError
from clinical.formats import PEEK
from clinical.layout import Layout, inspect
from clinical.schema import FEATURE_NAMES
from clinical.tables import Column, Mask, is_numeric, read_text

# Taken from a folder; a file that is named may be called anything.
SUFFIXES = (".csv", ".data", ".parquet", ".pq", ".tsv", ".txt")
# Refused rather than left out of a folder: rows might be in them.
COMPRESSED = (".bz2", ".gz", ".xz", ".zip", ".zst")
PARTITION_BYTES = 6 << 20
BATCH_ROWS = 1 << 18
LONE_CR = re.compile(rb"\r(?!\n|\Z)")
FLOATS = pa.schema(dict.fromkeys(FEATURE_NAMES, pa.float64()))

Rows = tuple[dict[str, Column], Any, dict[str, Mask]]
"""13 columns of numbers, the patients' ids, and masks of invalid cells: see `read_text`."""


@dataclass(frozen=True)
class File:
    """A file of patients."""

    fs: Any  # of fsspec: this machine, S3, a web server
    path: str = field(repr=False)  # a worker's log shows what it failed at, and a URL may be signed
    name: str  # below the folder that all files share
    size: int  # in bytes
    version: str  # changes with the file, as far as its store records that
    layout: Layout  # names in lower case; no delimiter in Parquet
    row_groups: int  # of Parquet

    @property
    def ids(self) -> list[str]:
        """The column that names its patients, if any."""
        return [name for name in ("id", "patient_id") if name in self.layout.names][:1]

    @property
    def label(self) -> str | None:
        """The one label, which may show the coding and is not used otherwise."""
        labels = [name for name in BY_LABEL if name in self.layout.names]
        return labels[0] if len(labels) == 1 else None


class Partition(NamedTuple):
    """What one task reads of a file: the lines between two bytes, or a row group."""

    number: int
    file: File
    start: int
    stop: int


def find(source: str) -> list[File]:
    """Return the files that a path, folder, glob or fsspec URL names, in the order of their names.

    Raises a `DataError` where nothing is there, or a file is not one of patients.
    """
    try:
        fs, path = url_to_fs(source, **_options(source))
        fs.invalidate_cache()  # else a change since the last look would not be seen
        paths = _paths(fs, path)
        if not paths:
            raise DataError(f"there is no file '{source}', nor a folder with {', '.join(SUFFIXES)}")
        # The query of a web address may be a signature, which must not be shown.
        plain = [re.sub(r"^(https?://[^?#]*).*", r"\1", path) for path in paths]
        shared = os.path.commonpath([os.path.dirname(path) for path in plain])
        names = [os.path.relpath(path, shared) for path in plain]
        return [_inspect(fs, path, name) for path, name in zip(paths, names, strict=True)]
    except DataError:
        raise
    except Exception as error:
        # Every fsspec protocol has errors of its own: no such bucket, no package for it, ...
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise DataError(f"'{source}' cannot be read: {reason or type(error).__name__}") from None


def _options(url: str) -> dict[str, Any]:
    if url.startswith(("s3://", "s3a://")):  # where MLflow's artifacts would be
        return {"endpoint_url": os.environ.get("MLFLOW_S3_ENDPOINT_URL")}
    if url.startswith(("http://", "https://")):
        # ~/.netrc and proxies; and a length and a position must mean bytes of the file itself.
        return {"client_kwargs": {"trust_env": True, "headers": {"Accept-Encoding": "identity"}}}
    return {}


def _paths(fs: Any, path: str) -> list[str]:
    if fs.isdir(path):
        ends, hidden = (*SUFFIXES, *COMPRESSED), re.compile(r"(^|/)[._]")
        names = sorted(name for name in fs.find(path) if name.lower().endswith(ends))
        return [name for name in names if not hidden.search(name[len(path) :])]
    if fs.exists(path):
        return [path]
    # Brackets in the name of a folder that is there are no pattern.
    folders = map(str, PurePosixPath(path).parents)
    there = next((folder for folder in folders if "[" in folder and fs.isdir(folder)), "")
    return sorted(filter(fs.isfile, fs.glob(glob.escape(there) + path[len(there) :])))


def _inspect(fs: Any, path: str, name: str) -> File:
    """Return a file, having read no more than its beginning or its footer."""
    try:
        info = fs.info(path)
        if info["size"] is None:
            raise DataError("its server does not tell its size: download it first")
        # fsspec's key of a web address does not change with the file.
        is_web = path.startswith(("http://", "https://"))
        version = info.get("ETag") or info.get("Last-Modified") if is_web else fs.ukey(path)
        with fs.open(path, "rb", cache_type="none") as stream:
            start = bytes(stream.read(PEEK))
        is_text = not start.startswith(b"PAR1")
        layout, groups = (_read_header(start), 0) if is_text else _read_footer(fs, path)
        file = File(fs, path, name, info["size"], str(version), layout, groups)
        require_features(list(layout.names), file.ids)
    except DataError as error:
        raise DataError(f"'{name}': {error}") from None
    return file


def _read_header(start: bytes) -> Layout:
    layout = inspect(start)
    if layout.delimiter == " ":
        raise DataError("expected cells divided by commas, semicolons or tabs")
    if LONE_CR.search(start) or (len(start) == PEEK and start.count(b"\n") < layout.skip):
        raise DataError(f"lines must end in LF or CR LF, and the header within {PEEK} bytes")
    if not layout.names and layout.width == len(FEATURE_NAMES) + 1:
        return replace(layout, names=[*FEATURE_NAMES, "num"])
    return layout


def _read_footer(fs: Any, path: str) -> tuple[Layout, int]:
    try:
        with fs.open(path, "rb") as stream:
            metadata = pq.read_metadata(stream)
    except (pa.ArrowException, OSError):
        raise DataError("it is not a complete Parquet file: damaged or cut off") from None
    schema = metadata.schema.to_arrow_schema()
    names = [str(name).lower() for name in schema.names]
    kinds = zip(names, schema.types, strict=True)
    text = [name for name, kind in kinds if name in FEATURE_NAMES and not is_numeric(kind)]
    if text:
        raise DataError(f"expected numbers in {', '.join(text)}, found text")
    return Layout(names, len(names)), metadata.num_row_groups


def divide(files: list[File], size: int = PARTITION_BYTES) -> list[Partition]:
    """Divide files into partitions of at most so many bytes, or of a row group: one at least."""
    cuts: list[Partition] = []
    for file in files:
        end = file.size if file.layout.delimiter else file.row_groups
        parts = max(1, -(-end // size) if file.layout.delimiter else end)
        for i in range(parts):
            cuts.append(Partition(len(cuts), file, end * i // parts, end * (i + 1) // parts))
    return cuts


def read(partition: Partition) -> Iterator[Rows]:
    """Read a partition in the order of its rows; a `DataError` where it is missing or damaged."""
    name, is_text = partition.file.name, partition.file.layout.delimiter
    try:
        yield from _read_lines(partition) if is_text else _read_row_group(partition)
    except DataError as error:
        raise DataError(f"'{name}': {error}") from None
    except Exception as error:
        # Every fsspec protocol has errors of its own. Their messages may hold a cell.
        raise DataError(
            f"'{name}' cannot be read ({type(error).__name__}): it is gone, damaged or cut off, "
            "out of reach of the process that was to read it, or its store gives no parts of it"
        ) from None


def _read_lines(partition: Partition) -> Iterator[Rows]:
    """Read whole lines: of two partitions, a line that is cut belongs to the first."""
    file, start, stop = partition.file, partition.start, partition.stop
    with file.fs.open(file.path, "rb", cache_type="none") as stream:
        whole = stop - start == file.size  # not every web server gives parts
        lines = bytes(stream.read() if whole else read_block(stream, start, stop - start, b"\n"))
    if not start:
        lines = b"".join(lines.split(b"\n", file.layout.skip)[file.layout.skip :])
    if b'"' in lines and any(line.count(b'"') % 2 for line in lines.split(b"\n")):
        raise DataError("a quoted cell holds a line break, which is not supported")
    if b"\r" in lines and LONE_CR.search(lines):
        raise DataError("lines must end in LF or CR LF")
    if lines:
        yield _rows(*read_text(lines, replace(file.layout, skip=0), FEATURE_NAMES, file.ids))


def _read_row_group(partition: Partition) -> Iterator[Rows]:
    file, columns = partition.file, [*FEATURE_NAMES, *partition.file.ids]
    with file.fs.open(file.path, "rb") as stream:
        parquet = pq.ParquetFile(stream, pre_buffer=False, buffer_size=1 << 20)
        names = [parquet.schema_arrow.names[file.layout.names.index(name)] for name in columns]
        groups = list(range(partition.start, partition.stop))
        for batch in parquet.iter_batches(BATCH_ROWS, groups, names, use_threads=False):
            yield _rows(pa.table([batch.column(name) for name in names], columns), {})


def _rows(table: Any, wrong: dict[str, Mask]) -> Rows:
    floats = table.select(FEATURE_NAMES).cast(FLOATS, safe=False)
    columns = {name: floats.column(name).to_numpy() for name in FEATURE_NAMES}
    rest = table.columns[len(FEATURE_NAMES) :] or [pa.nulls(len(table))]
    return columns, rest[0].cast(pa.string()), wrong
