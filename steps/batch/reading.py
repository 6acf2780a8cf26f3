"""Reading one partition of a file, some rows at a time, as columns of numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.utils import read_block

from clinical.errors import DataError
from clinical.schema import FEATURE_NAMES
from clinical.tables import Column, Mask, read_text
from steps.batch.inputs import Partition

BATCH_ROWS = 1 << 18
FLOATS = pa.schema(dict.fromkeys(FEATURE_NAMES, pa.float64()))


class Rows(NamedTuple):
    """Some rows of a file: 13 columns of numbers, and what names the patients, if anything does.

    `wrong` marks what cannot be used, as `clinical.tables.read_text` returns it.
    """

    size: int
    columns: dict[str, Column]
    ids: Any
    wrong: dict[str, Mask]


def read(partition: Partition) -> Iterator[Rows]:
    """Read a partition, in the order of its rows.

    Raises
    ------
    DataError
        With one line, where the file is not there or is damaged.
    """
    name = partition.file.name
    try:
        yield from _read_lines(partition) if partition.file.is_text else _read_row_group(partition)
    except DataError as error:
        raise DataError(f"'{name}': {error}") from None
    except Exception as error:
        # Every fsspec protocol has errors of its own. What they say may hold a cell.
        raise DataError(
            f"'{name}' cannot be read ({type(error).__name__}): it is gone, damaged or cut off, "
            "out of reach of the process that was to read it, or its store gives no parts of it"
        ) from None


def _read_lines(partition: Partition) -> Iterator[Rows]:
    """Read whole lines: of two partitions, a line that is cut belongs to the first."""
    file, start, stop = partition.file, partition.start, partition.stop
    with file.fs.open(file.path, "rb", cache_type="none") as stream:
        if stop - start == file.size:  # not every web server gives parts
            lines = bytes(stream.read())
        else:
            lines = bytes(read_block(stream, start, stop - start, b"\n"))
    lines = lines[0 if start else file.begin :]
    if b'"' in lines and any(line.count(b'"') % 2 for line in lines.split(b"\n")):
        raise DataError("a quoted cell holds a line break, which is not supported")
    if b"\r" in lines and re.search(rb"\r(?!\n|\Z)", lines):
        raise DataError("lines must end in LF or CR LF")
    if lines:
        ids = [file.id_column] if file.id_column else []
        yield _rows(*read_text(lines, replace(file.layout, skip=0), FEATURE_NAMES, ids))


def _read_row_group(partition: Partition) -> Iterator[Rows]:
    file = partition.file
    wanted = [*FEATURE_NAMES, *([file.id_column] if file.id_column else [])]
    with file.fs.open(file.path, "rb") as stream:
        parquet = pq.ParquetFile(stream, pre_buffer=False, buffer_size=1 << 20)
        names = [parquet.schema_arrow.names[file.layout.names.index(name)] for name in wanted]
        groups = list(range(partition.start, partition.stop))
        for batch in parquet.iter_batches(BATCH_ROWS, groups, names, use_threads=False):
            yield _rows(pa.table([batch.column(name) for name in names], wanted), {})


def _rows(table: Any, wrong: dict[str, Mask]) -> Rows:
    floats = table.select(FEATURE_NAMES).cast(FLOATS, safe=False)
    columns = {name: floats.column(name).to_numpy() for name in FEATURE_NAMES}
    rest = table.columns[len(FEATURE_NAMES) :] or [pa.nulls(len(table))]
    return Rows(len(table), columns, rest[0].cast(pa.string()), wrong)
