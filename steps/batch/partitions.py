"""Reading one partition of a file, in blocks of rows whose cells are numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from clinical.codings.evidence import Evidence, count_coding_evidence
from clinical.errors import DataError
from clinical.frame import Mask
from clinical.schema import FEATURE_NAMES
from clinical.tables import ARROW_UNKNOWN, Column
from steps.batch.inputs import File, Partition
from steps.batch.lines import count_lines, read_lines
from steps.batch.storage import filesystem

BLOCK_ROWS = 1 << 18
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_UNKNOWN = sorted({word.strip().lower() for word in ARROW_UNKNOWN})


@dataclass(frozen=True)
class Block:
    """Some rows of a file.

    Parameters
    ----------
    columns : dict of str to ndarray
        The 13 features as float64, in the file's coding, NaN where unknown or no number.
    rows : int
        How many.
    ids : pyarrow.Array or None
        What names the patients, as text.
    bad : dict of str to ndarray of bool
        For each feature with such cells, those that are no number; under "", the rows that have
        not as many cells as the file has columns.
    """

    columns: dict[str, Column]
    rows: int
    ids: Any = None
    bad: dict[str, Mask] = field(default_factory=dict)


def read(partition: Partition) -> Iterator[Block]:
    """Read a partition block by block.

    Raises
    ------
    DataError
        With one line, where the file is not there or is damaged.
    """
    file = partition.file
    if partition.start == partition.stop:
        return
    with _in_one_line(file):
        if not file.is_text:
            yield from _read_parquet(partition)
        elif lines := read_lines(partition):
            yield _parse(lines, file)


@contextmanager
def _in_one_line(file: File) -> Iterator[None]:
    """Raise DataError for whatever goes wrong in reading a file."""
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(
            f"'{file.name}' is not there any more, or not in reach of the process that was to "
            "read it: workers on other machines need an input that is at the same place for all"
        ) from None
    except Exception as error:
        # Every fsspec protocol has errors of its own. What they say may hold a cell.
        said = type(error).__name__
        raise DataError(
            f"'{file.name}' cannot be read: damaged or cut off, or its store fails ({said})"
        ) from None


def count(partition: Partition) -> int:
    """Count the rows of a partition.

    Raises
    ------
    DataError
        As `read` does.
    """
    if not partition.file.is_text:
        return partition.stop - partition.start
    with _in_one_line(partition.file):
        return count_lines(read_lines(partition))


def count_evidence(partition: Partition) -> Evidence:
    """Count what the rows show of their coding."""
    counted = (count_coding_evidence(block.columns) for block in read(partition))
    return sum(counted, start=count_coding_evidence({}))


def _parse(lines: bytes, file: File) -> Block:
    """Parse lines with Arrow; where it cannot take them for numbers, find out which it can."""
    if b'"' in lines and any(line.count(b'"') % 2 for line in lines.split(b"\n")):
        raise DataError(f"'{file.name}': a quoted cell holds a line break, which is not supported")
    names = [*FEATURE_NAMES, file.id_column] if file.id_column else [*FEATURE_NAMES]
    try:
        table = _read_csv(
            lines, file, {n: pa.float64() if n in FEATURE_NAMES else pa.string() for n in names}
        )
    except pa.ArrowInvalid:
        return _parse_carefully(lines, file, names)
    return _block(table, file)


def _read_csv(lines: bytes, file: File, kinds: dict[str, Any], skip: Any = None) -> Any:
    return pa_csv.read_csv(
        pa.BufferReader(lines),
        pa_csv.ReadOptions(
            use_threads=False, block_size=len(lines) + 1, column_names=_distinct(file.layout.names)
        ),
        pa_csv.ParseOptions(delimiter=file.layout.delimiter, invalid_row_handler=skip),
        pa_csv.ConvertOptions(
            column_types=kinds, include_columns=list(kinds), null_values=ARROW_UNKNOWN
        ),
    )


def _distinct(names: Any) -> list[str]:
    # Arrow wants every name once; those that are there twice are of columns that are not used.
    return [name if name not in names[:i] else f"{name}.{i}" for i, name in enumerate(names)]


def _parse_carefully(lines: bytes, file: File, names: list[str]) -> Block:
    ragged: list[int] = []

    def skip(row: Any) -> str:
        ragged.append(row.number - 1)
        return "skip"

    table = _read_csv(lines, file, dict.fromkeys(names, pa.string()), skip)
    bad: dict[str, Mask] = {}
    total = table.num_rows + len(ragged)
    whole = np.ones(total, dtype=np.bool_)
    whole[ragged] = False
    columns = {}
    for name in FEATURE_NAMES:
        numbers, wrong = _numbers(table.column(name))
        columns[name] = np.full(total, np.nan)
        columns[name][whole] = numbers
        if wrong.any():
            bad[name] = np.zeros(total, dtype=np.bool_)
            bad[name][whole] = wrong
    if ragged:
        bad[""] = ~whole
    ids = None
    if file.id_column:
        places = np.where(whole, np.cumsum(whole) - 1, 0)
        ids = table.column(file.id_column).combine_chunks().take(pa.array(places, mask=~whole))
    return Block(columns, total, ids, bad)


def _numbers(cells: Any) -> tuple[Column, Mask]:
    """Return texts as numbers, NaN where they are none, and a mark where they say something else.

    What Arrow takes for a number beyond digits (such as ``inf``) is none here.
    """
    texts = pc.utf8_trim_whitespace(cells.combine_chunks())
    known = pc.fill_null(pc.invert(pc.is_in(pc.utf8_lower(texts), pa.array(_UNKNOWN))), False)
    numeric = pc.fill_null(pc.match_substring_regex(texts, _NUMBER), False)
    plain = pc.if_else(pc.and_(known, numeric), texts, None).cast(pa.float64())
    wrong = pc.and_(known, pc.invert(numeric))
    return _to_numpy(plain), np.asarray(wrong.to_numpy(zero_copy_only=False), dtype=np.bool_)


def _to_numpy(cells: Any) -> Column:
    return np.asarray(cells.to_numpy(zero_copy_only=False), dtype=np.float64)


def _block(table: Any, file: File) -> Block:
    columns = {name: _to_numpy(_plain(table.column(name))) for name in FEATURE_NAMES}
    ids = _plain(table.column(file.id_column)).cast(pa.string()) if file.id_column else None
    return Block(columns, table.num_rows, ids)


def _plain(cells: Any) -> Any:
    cells = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
    return cells.dictionary_decode() if isinstance(cells, pa.DictionaryArray) else cells


def _read_parquet(partition: Partition) -> Iterator[Block]:
    file, at = partition.file, 0
    with filesystem(file.url).open(file.url, "rb") as stream:
        parquet = pq.ParquetFile(stream, pre_buffer=False, buffer_size=1 << 20)
        actual = dict(zip(file.layout.names, parquet.schema_arrow.names, strict=True))
        wanted = [actual[name] for name in (*FEATURE_NAMES, file.id_column) if name]
        batches = parquet.iter_batches(
            BLOCK_ROWS, row_groups=[partition.group], columns=wanted, use_threads=False
        )
        for batch in batches:
            begin, end = max(partition.start - at, 0), min(partition.stop - at, batch.num_rows)
            at += batch.num_rows
            if begin < end:
                rows = batch.slice(begin, end - begin)
                names = [name.lower() for name in rows.schema.names]
                yield _block(_as_floats(rows.rename_columns(names)), file)
            if at >= partition.stop:
                return


def _as_floats(batch: Any) -> Any:
    fields = [
        pa.field(field.name, pa.float64()) if field.name in FEATURE_NAMES else field
        for field in batch.schema
    ]
    return batch.cast(pa.schema(fields), safe=False)
