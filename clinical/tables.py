"""Text and Parquet files as columns of numbers, with every cell that is not a number."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from clinical.errors import DataError, cell_problem
from clinical.layout import UNKNOWN, Layout, Source, open_file, read_parquet
from clinical.schema import LABEL, REQUIRED

Column = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_SPELT = [spelling for word in UNKNOWN for spelling in (word, word.upper(), word.capitalize())]
#: What Arrow is to take for an unknown value.
ARROW_UNKNOWN = sorted({*_SPELT, "NaN", *(f" {word}" for word in _SPELT)})
# In full width too, as keyboards of East Asia write them.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_PLAIN_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)

RAGGED = "number of columns"
"""What is wrong with a row that has more or fewer cells than the first row."""

# As Arrow's regular expressions are written.
_NUMBER = r"^\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$"
_WORDS = "|".join(re.escape(word) for word in UNKNOWN)


class Table(NamedTuple):
    """What a file holds."""

    rows: int
    columns: dict[str, Column]  # NaN where a cell is unknown or no number
    bad: dict[str, Mask]  # the cells that are no numbers, by column
    problems: list[str]  # what else is wrong, one line each


def unknown_cells(columns: Mapping[str, Any] | pd.DataFrame) -> dict[str, Mask]:
    """Mark the unknown cells, in each column that has some and may not."""
    masks = {
        name: np.isnan(np.asarray(columns[name]))
        for name in (*REQUIRED, LABEL.name)
        if name in columns and columns[name].dtype.kind == "f"
    }
    return {name: mask for name, mask in masks.items() if mask.any()}


def read_table(source: Source, layout: Layout, names: Sequence[str]) -> Table:
    """Read some columns of a file.

    Unknown is ``?``, an empty cell, or a word such as ``NA``. Blank lines are no rows. Of columns
    that are there twice, the first is read.

    Raises a `DataError` where it cannot be divided into rows and cells.
    """
    names = [name for name in names if name in layout.names]
    if not layout.delimiter:
        return _read_parquet(source, layout, names)
    _refuse_quoted_line_breaks(source)
    if layout.delimiter == " ":
        content = source if isinstance(source, bytes) else source.read_bytes()
        content = re.sub(rb"(?m)^[ \t]+|[ \t]+(?=\r?$)", b"", content)
        source = re.sub(rb"[ \t]+", b"\t", content)
        layout = replace(layout, delimiter="\t")
    table, wrong = read_text(source, layout, names)
    problems = []
    if RAGGED in wrong:
        rows = marked_rows(wrong.pop(RAGGED))
        problems.append(cell_problem(RAGGED, rows, f"{layout.width} as in the first row"))
    return Table(table.num_rows, _columns(table), wrong, problems)


def _columns(table: Any) -> dict[str, Column]:
    """Return the columns as float64, NaN where null; huge integers are rounded."""
    floats = (column.cast(pa.float64(), safe=False).to_pandas() for column in table.itercolumns())
    columns = zip(table.column_names, floats, strict=True)
    return {name: column.to_numpy(copy=True) for name, column in columns}


def marked_rows(mask: Mask) -> list[int]:
    """Return the rows that a mask marks, counted from 1."""
    return (np.flatnonzero(mask) + 1).tolist()


def _refuse_quoted_line_breaks(source: Source) -> None:
    """Refuse a text in which a quoted cell would swallow rows."""
    with open_file(source) as file:
        if any(b'"' in block for block in iter(lambda: file.read(1 << 20), b"")):
            file.seek(0)
            odd = next((i for i, line in enumerate(file, 1) if line.count(b'"') % 2), None)
            if odd:
                raise DataError(
                    f"a quoted cell is not closed in its line {odd}: line breaks within cells are "
                    "not read"
                )


def read_text(
    source: Source, layout: Layout, numbers: Sequence[str], texts: Sequence[str] = ()
) -> tuple[Any, dict[str, Mask]]:
    """Read some columns of a text, in which every line but a blank one is a row.

    Returns a pyarrow.Table with the `numbers` as float64, NaN or null where a cell is unknown or no
    number, and the `texts`; then masks of the cells that hold something that is no number, by
    column, and under `RAGGED` of the rows that have more or fewer cells, all of them unknown then.

    Raises a `DataError` where it cannot be divided into rows and cells.
    """
    as_text = dict.fromkeys(texts, pa.string())
    try:
        return _read_csv(source, layout, dict.fromkeys(numbers, pa.float64()) | as_text), {}
    except pa.ArrowInvalid:
        # Something that Arrow does not take for a number: find all of it, or read it after all.
        kinds = dict.fromkeys(numbers, pa.binary()) | as_text
        return _read_carefully(source, layout, kinds, numbers)


def _read_csv(source: Source, layout: Layout, kinds: dict[str, Any], ragged: Any = None) -> Any:
    # Arrow wants every name once, and a file may have any: numbers stand for them.
    places = {str(layout.names.index(name)): kind for name, kind in kinds.items()}
    with open_file(source) as file:
        table = pa_csv.read_csv(
            file,
            pa_csv.ReadOptions(
                column_names=[str(place) for place in range(layout.width)],
                skip_rows=layout.skip,
                use_threads=ragged is None,
            ),
            pa_csv.ParseOptions(delimiter=layout.delimiter, invalid_row_handler=ragged),
            pa_csv.ConvertOptions(
                column_types=places,
                include_columns=list(places),
                null_values=ARROW_UNKNOWN,
                decimal_point=layout.decimal,
            ),
        )
    return table.rename_columns(list(kinds))


def _read_carefully(
    source: Source, layout: Layout, kinds: dict[str, Any], numbers: Sequence[str]
) -> tuple[Any, dict[str, Mask]]:
    ragged: list[int] = []
    blank: list[int] = []

    def skip(row: Any) -> str:
        (ragged if row.text.strip() else blank).append(row.number - layout.skip - 1)
        return "skip"

    try:
        table = _read_csv(source, layout, kinds, skip)
    except pa.ArrowInvalid as error:
        raise DataError("it cannot be divided into rows and cells") from error
    # Blank lines are no rows, so that those after them move up.
    ragged = (np.array(ragged, np.intp) - np.searchsorted(blank, ragged)).tolist()
    whole = np.ones(table.num_rows + len(ragged), dtype=np.bool_)
    whole[ragged] = False
    # What was skipped is put back in its place.
    table = table.take(pa.array(np.cumsum(whole) - 1, mask=~whole))
    wrong = {RAGGED: ~whole} if ragged else {}
    for place, name in enumerate(numbers):
        column, marked = _numbers(table.column(name), layout.decimal)
        table = table.set_column(place, name, pa.array(column))
        if marked.any():
            wrong[name] = marked
    return table, wrong


def _numbers(cells: Any, decimal: str) -> tuple[Column, Mask]:
    """Return texts as numbers, NaN where they are not, and a mask of the invalid ones."""
    texts = cells.combine_chunks()
    pattern = _NUMBER.replace(r"\.", decimal) if decimal != "." else _NUMBER
    numeric = pc.fill_null(pc.match_substring_regex(texts, pattern), False)
    plain = pc.utf8_trim_whitespace(pc.if_else(numeric, texts, None).cast(pa.string()))
    plain = pc.replace_substring(plain, decimal, ".")
    unknown = pc.match_substring_regex(texts, rf"^\s*({_WORDS})\s*$", ignore_case=True)
    wrong = pc.invert(pc.or_(numeric, pc.fill_null(unknown, True)))
    values = plain.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.asarray(values), np.asarray(wrong.to_numpy(zero_copy_only=False), dtype=np.bool_)


def _read_parquet(source: Source, layout: Layout, names: Sequence[str]) -> Table:
    table = read_parquet(source)
    table = table.select([layout.names.index(name) for name in names]).rename_columns(names)
    textual = [name for name in names if not is_numeric(table.schema.field(name).type)]
    problems = [f"{column}: this column must hold numbers" for column in textual]
    numeric = [column for column in names if column not in textual]
    return Table(table.num_rows, _columns(table.select(numeric)), {}, problems)


def plain_cell(value: Any) -> Any:
    """Return a cell for a CSV file that no spreadsheet takes for a formula: after an apostrophe.

    Numbers stay as they are, as numbers or as text.
    """
    text = isinstance(value, str) and not _PLAIN_NUMBER.fullmatch(value)
    return f"'{value}" if text and value.startswith(_FORMULA_STARTS) else value


def is_numeric(kind: Any) -> bool:
    """Return whether an Arrow type holds numbers."""
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
    return pa.types.is_null(kind) or any(test(kind) for test in tests)
