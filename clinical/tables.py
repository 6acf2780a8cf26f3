"""Text and Parquet files as columns of numbers, with every cell that is none."""

from __future__ import annotations

import codecs
import io
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from clinical.errors import DataError
from clinical.frame import ROWS_LISTED, cell_problem

#: A file, or what a file holds.
Source = Path | bytes

Column = npt.NDArray[np.float64]

_UNKNOWN = ("", "?", "na", "n/a", "nan", "null", "none")
_SPELT = [spelling for word in _UNKNOWN for spelling in (word, word.upper(), word.capitalize())]
#: What Arrow is to take for an unknown value.
ARROW_UNKNOWN = sorted({*_SPELT, "NaN", *(f" {word}" for word in _SPELT)})
_PEEK = 1 << 16
# In full width too, as keyboards of East Asia write them.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_PLAIN_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is laid out.

    Parameters
    ----------
    names : sequence of str
        The columns, in lower case; empty for a text file without a header.
    width : int
        The number of columns.
    delimiter : str
        What divides the cells of a text file; empty for Parquet.
    skip : int
        The lines of a text file up to its first row.
    """

    names: Sequence[str]
    width: int
    delimiter: str = ""
    skip: int = 0


#: For each column, the first rows whose cells are not usable, and how many there are.
Faults = dict[str, tuple[list[int], int]]


@dataclass(frozen=True, slots=True)
class Table:
    """What a file holds, its cells as numbers, null where a cell is unknown or no number.

    Parameters
    ----------
    names : list of str
        The columns; unnamed index columns are left out.
    batches : list of pyarrow.RecordBatch
        The rows, some at a time: work on few rows stays in the processor's cache.
    bad : dict of str to (list of int, int)
        The cells that are no numbers.
    problems : sequence of str
        What else is wrong, one line each.
    """

    names: list[str]
    batches: list[Any]
    bad: Faults = field(default_factory=dict)
    problems: Sequence[str] = ()

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(batch.num_rows for batch in self.batches)

    def column(self, batch: Any, name: str) -> Column:
        """Give the cells of a column in one of the batches as float64, NaN where null."""
        cells = batch.column(self.names.index(name)).cast(pa.float64())
        return np.asarray(cells.to_numpy(zero_copy_only=False))


def note(faults: Faults, column: str, rows: Iterable[int]) -> None:
    """Add the numbers of rows to the faults of a column."""
    listed, total = faults.get(column, ([], 0))
    rows = list(rows)
    faults[column] = ([*listed, *rows][:ROWS_LISTED], total + len(rows))


def is_index(column: str) -> bool:
    """Tell whether this is the column that a frame leaves when written with its index."""
    return re.fullmatch(r"(unnamed: \d+)?|__index_level_\d+__", column) is not None


def inspect(source: Source) -> Layout:
    """Find out how a file is laid out, from its beginning.

    Raises
    ------
    DataError
        Where it is empty, or neither text in UTF-8 nor Parquet.
    """
    with _open(source) as file:
        start = file.read(_PEEK)
    if start.startswith(b"PAR1"):
        names = _parquet(lambda file: pa_parquet.read_schema(file).names, source)
        return Layout([str(column).lower() for column in names], len(names))
    lines = re.split(r"\r\n|\r|\n", _text(start))
    skip = next((number for number, line in enumerate(lines) if line.strip()), None)
    if skip is None:
        raise DataError("it is empty")
    delimiter = _delimiter(lines[skip])
    cells = _cells(lines[skip], delimiter)
    numbers = sum(cell == "?" or _number(cell) is not None for cell in cells if cell)
    if 2 * numbers > len(cells):
        return Layout([], len(cells), delimiter, skip)
    return Layout([cell.lower() for cell in cells], len(cells), delimiter, skip + 1)


def read_table(source: Source, layout: Layout) -> Table:
    """Read a file whose columns are named.

    Unknown is ``?``, an empty cell, or a word such as ``NA``. Blank lines are no rows.

    Parameters
    ----------
    source : Path or bytes
    layout : Layout
        From `inspect`, with names.
    """
    if not layout.delimiter:
        return _read_parquet(source, layout)
    try:
        return _read_fast(source, layout)
    except pa.ArrowInvalid:
        # Something that Arrow does not take for a number: find all of it, or read it after all.
        return _read_careful(source, layout)


def _open(source: Source) -> IO[bytes]:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _open_arrow(source: Source) -> Any:
    return pa.BufferReader(source) if isinstance(source, bytes) else pa.OSFile(str(source))


def _text(start: bytes) -> str:
    try:
        # Incremental, because the beginning may end within a character.
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(start)
    except UnicodeError:
        text = "\0"
    if "\0" in text:
        raise DataError("it is neither text in UTF-8 nor Parquet")
    return text


def _delimiter(line: str) -> str:
    best = max(",;\t", key=line.count)
    return best if best in line else " "


def _cells(line: str, delimiter: str) -> list[str]:
    cells = line.split() if delimiter == " " else line.split(delimiter)
    return [cell.strip().strip('"').strip() for cell in cells]


def _number(cell: str) -> float | None:
    """Give the number that a cell holds, NaN where it is unknown, None where it is no number."""
    if cell.lower() in _UNKNOWN:
        return float("nan")
    try:
        # Python, unlike anyone else, reads 1_0 as 10.
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _read_fast(source: Source, layout: Layout) -> Table:
    """Read with Arrow, much faster than line by line; ArrowInvalid where it cannot."""
    if layout.delimiter == " " or len(set(layout.names)) < len(layout.names):
        raise pa.ArrowInvalid("for the careful way")
    wanted = [column for column in layout.names if not is_index(column)]
    with _open_arrow(source) as file:
        table = pa_csv.read_csv(
            file,
            pa_csv.ReadOptions(column_names=layout.names, skip_rows=layout.skip),
            pa_csv.ParseOptions(delimiter=layout.delimiter),
            pa_csv.ConvertOptions(
                column_types=dict.fromkeys(wanted, pa.float64()),
                include_columns=wanted,
                null_values=ARROW_UNKNOWN,
            ),
        )
    return Table(wanted, table.to_batches())


def _read_careful(source: Source, layout: Layout) -> Table:
    """Read line by line, and note every row and cell that is not usable."""
    kept = [index for index, column in enumerate(layout.names) if not is_index(column)]
    columns = [array("d") for _ in kept]
    bad: Faults = {}
    for row, cells in enumerate(_rows(source, layout), start=1):
        if len(cells) != layout.width:
            note(bad, "", [row])
            cells = [""] * layout.width  # noqa: PLW2901
        for column, index in zip(columns, kept, strict=True):
            number = _number(cells[index])
            if number is None:
                note(bad, layout.names[index], [row])
            column.append(float("nan") if number is None else number)
    uneven = bad.pop("", None)
    problems = (
        []
        if uneven is None
        else [cell_problem("number of columns", *uneven, f"{layout.width} as in the first row")]
    )
    # Twice the same name is told elsewhere, and then no cell of it is used.
    names = [layout.names[index] for index in kept]
    batch = pa.RecordBatch.from_arrays([pa.array(np.array(v)) for v in columns], names=names)
    return Table(names, [batch], bad, problems)


def _rows(source: Source, layout: Layout) -> Iterator[list[str]]:
    with io.TextIOWrapper(_open(source), "utf-8-sig", errors="replace", newline="") as text:
        for number, line in enumerate(text):
            if number >= layout.skip and line.strip():
                yield _cells(line, layout.delimiter)


def _read_parquet(source: Source, layout: Layout) -> Table:
    table = _parquet(pa_parquet.read_table, source).rename_columns(list(layout.names))
    wanted = [c for c in layout.names if not is_index(c) and layout.names.count(c) == 1]
    textual = [column for column in wanted if not is_numeric(table.schema.field(column).type)]
    problems = [f"{column}: this column must hold numbers" for column in textual]
    numeric = [column for column in wanted if column not in textual]
    return Table(numeric, table.select(numeric).to_batches(), problems=problems)


def _parquet(read: Any, source: Source) -> Any:
    try:
        with _open_arrow(source) as file:
            return read(file)
    except (pa.ArrowException, OSError) as error:
        raise DataError("it is not a complete Parquet file: damaged or cut off") from error


def plain_cell(value: Any) -> Any:
    """Return a cell for a CSV file in such a way that no spreadsheet takes it for a formula.

    Numbers stay as they are, as numbers or as text; before any other text that could start a
    formula there is an apostrophe.
    """
    text = isinstance(value, str) and not _PLAIN_NUMBER.fullmatch(value)
    return f"'{value}" if text and value.startswith(_FORMULA_STARTS) else value


def is_numeric(kind: Any) -> bool:
    """Tell whether an Arrow type holds numbers."""
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
    return pa.types.is_null(kind) or any(test(kind) for test in tests)
