"""Reading one partition of a file, some rows at a time, as columns of numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from fsspec.utils import read_block

from clinical.errors import DataError
from clinical.frame import Mask
from clinical.schema import FEATURE_NAMES
from clinical.tables import ARROW_UNKNOWN, is_numeric
from steps.batch.inputs import File, Partition

RAGGED = "number of cells"
"""Marks the rows that have more or fewer cells than the file has columns."""

BATCH_ROWS = 1 << 18
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_UNKNOWN = sorted({word.strip().lower() for word in ARROW_UNKNOWN})

Rows = tuple[Any, dict[str, Mask]]
"""A table of the 13 features as float64, null where unknown, and of the column `id` if there is
one; and marks for the cells of each column that are not numbers, or for rows that are `RAGGED`."""


def read(partition: Partition) -> Iterator[Rows]:
    """Read a partition, in the order of its rows.

    Raises
    ------
    DataError
        With one line, where the file is not there or is damaged.
    """
    file = partition.file
    try:
        if not file.layout.delimiter:
            yield from _read_row_group(partition)
        elif lines := _read_lines(partition):
            yield _parse(lines, file)
    except DataError as error:
        raise DataError(f"'{file.name}': {error}") from None
    except Exception as error:
        # Every fsspec protocol has errors of its own. What they say may hold a cell.
        raise DataError(
            f"'{file.name}' cannot be read ({type(error).__name__}): it is gone, damaged or cut "
            "off, out of reach of the process that was to read it, or its store gives no parts"
        ) from None


def _read_lines(partition: Partition) -> bytes:
    """Return whole lines: of two partitions, a line that is cut belongs to the first."""
    file, start, stop = partition.file, partition.start, partition.stop
    with file.fs.open(file.path, "rb", cache_type="none") as stream:
        if stop - start == file.size:  # not every web server gives parts
            lines = stream.read()
        else:
            lines = read_block(stream, start, stop - start, b"\n")
    return bytes(lines[0 if start else file.begin :])


def _parse(lines: bytes, file: File) -> Rows:
    if b'"' in lines and any(line.count(b'"') % 2 for line in lines.split(b"\n")):
        raise DataError("a quoted cell holds a line break, which is not supported")
    if b"\r" in lines and re.search(rb"\r(?!\n|\Z)", lines):
        raise DataError("lines must end in LF or CR LF")
    try:
        return _rows(_read_csv(lines, file, pa.float64()), file)
    except pa.ArrowInvalid:  # some cell or row is not what it should be: find out which
        ragged: list[int] = []
        table = _read_csv(lines, file, pa.string(), ragged)
    whole = np.ones(table.num_rows + len(ragged), dtype=np.bool_)
    whole[ragged] = False
    # What was skipped is put back in its place, with all cells unknown.
    table, wrong = _rows(table.take(pa.array(np.cumsum(whole) - 1, mask=~whole)), file)
    return table, wrong | ({RAGGED: ~whole} if ragged else {})


def _read_csv(lines: bytes, file: File, kind: Any, ragged: list[int] | None = None) -> Any:
    """Return the columns that are used; skip ragged rows where there is a list to note them in."""

    def on_ragged(row: Any) -> str:
        if ragged is None:
            return "error"
        ragged.append(row.number - 1)
        return "skip"

    names = file.layout.names
    # Arrow wants every name once; those that are there twice are of columns that are not used.
    distinct = [name if name not in names[:i] else f"{name}.{i}" for i, name in enumerate(names)]
    kinds = {name: kind if name in FEATURE_NAMES else pa.string() for name in file.used}
    return pa_csv.read_csv(
        pa.BufferReader(lines),
        pa_csv.ReadOptions(use_threads=False, block_size=len(lines) + 1, column_names=distinct),
        pa_csv.ParseOptions(delimiter=file.layout.delimiter, invalid_row_handler=on_ragged),
        pa_csv.ConvertOptions(
            column_types=kinds, include_columns=file.used, null_values=ARROW_UNKNOWN
        ),
    )


def _read_row_group(partition: Partition) -> Iterator[Rows]:
    file = partition.file
    with file.fs.open(file.path, "rb") as stream:
        parquet = pq.ParquetFile(stream, pre_buffer=False, buffer_size=1 << 20)
        names = dict(zip(file.layout.names, parquet.schema_arrow.names, strict=True))
        columns = [names[name] for name in file.used]
        groups = list(range(partition.start, partition.stop))
        for batch in parquet.iter_batches(BATCH_ROWS, groups, columns, use_threads=False):
            lower = [name.lower() for name in batch.schema.names]
            yield _rows(pa.Table.from_batches([batch]).rename_columns(lower), file)


def _rows(table: Any, file: File) -> Rows:
    columns, wrong = {}, {}
    for name in FEATURE_NAMES:
        columns[name], not_numbers = _to_numbers(table.column(name).combine_chunks())
        if not_numbers.any():
            wrong[name] = not_numbers
    if file.id_column:
        columns["id"] = table.column(file.id_column).cast(pa.string())
    return pa.table(columns), wrong


def _to_numbers(cells: Any) -> tuple[Any, Mask]:
    """Return cells as numbers, null where they are none, and a mark where they say something else.

    What Arrow takes for a number beyond digits (such as ``inf``) is none here.
    """
    if is_numeric(cells.type):
        return cells.cast(pa.float64(), safe=False), np.zeros(0, dtype=np.bool_)
    texts = pc.utf8_trim_whitespace(cells.cast(pa.string()))
    known = pc.fill_null(pc.invert(pc.is_in(pc.utf8_lower(texts), pa.array(_UNKNOWN))), False)
    numeric = pc.fill_null(pc.match_substring_regex(texts, _NUMBER), False)
    numbers = pc.if_else(pc.and_(known, numeric), texts, None).cast(pa.float64())
    return numbers, np.asarray(pc.and_not(known, numeric).to_numpy(zero_copy_only=False))
