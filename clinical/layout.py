"""How a file is laid out: its format, its columns, and what divides its cells."""

import codecs
import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pa_parquet

from clinical.errors import DataError
from clinical.formats import GZIP, PEEK, is_utf_16, refuse_format, unpack
from clinical.numbers import read_float

#: A file, or what a file holds.
Source = Path | bytes

UNKNOWN = ("", "?", "na", "n/a", "nan", "null", "none")
"""What stands for an unknown value, in lower case."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is laid out."""

    names: Sequence[str]  # in lower case; none without a header
    width: int  # the number of columns
    delimiter: str = ""  # divides the cells; empty for Parquet
    skip: int = 0  # the lines up to the first row
    decimal: str = "."  # stands before the decimals


def open_table(source: Source) -> Source:
    """Return a file as it can be read here: unpacked where gzip packed it, UTF-16 as UTF-8."""
    with open_file(source) as file:
        start = file.read(4)
        packed = start.startswith(GZIP) or is_utf_16(start)
        return unpack(start + file.read()) if packed else source


def inspect(source: Source) -> Layout:
    """Find out how a file is laid out, from its beginning.

    Raises a `DataError` where it is empty, or neither text in UTF-8 nor Parquet.
    """
    with open_file(source) as file:
        start = file.read(PEEK)
    if start.startswith(b"PAR1"):
        names = _parquet(pa_parquet.read_schema, source).names
        return Layout([str(column).lower() for column in names], len(names))
    refuse_format(start)
    lines = re.split(r"\r\n|\r|\n", _text(start))
    if len(start) == PEEK and len(lines) > 1:
        lines.pop()  # it may be cut off
    numbered = [(number, line) for number, line in enumerate(lines) if line.strip()]
    if not numbered:
        raise DataError("it is empty")
    return _layout_of_lines(numbered)


def _layout_of_lines(lines: list[tuple[int, str]]) -> Layout:
    """Return the layout that the first lines, with their numbers, show."""
    declared = re.fullmatch(r'"?sep=(.)"?', lines[0][1].strip("\n"), re.IGNORECASE)
    if declared and len(lines) > 1:  # as Excel writes and reads it
        lines = lines[1:]
    skip, first = lines[0]
    delimiter = declared.group(1) if declared else _delimiter(first)
    cells, rows = _cells(first, delimiter), [_cells(line, delimiter) for _, line in lines[1:50]]
    numbers = sum(cell == "?" or _is_number(cell) for cell in cells if cell)
    if 2 * numbers > sum(map(bool, cells)):
        return Layout([], len(cells), delimiter, skip, _decimal([cells, *rows], delimiter))
    names = [cell.lower() for cell in cells]
    if rows and _has_row_names(rows, len(names)):
        names = ["", *names]
    return Layout(names, len(names), delimiter, skip + 1, _decimal(rows, delimiter))


def _has_row_names(rows: list[list[str]], width: int) -> bool:
    """Return whether the rows begin with a name of their own, as R writes them under no header."""
    names = [row[0] for row in rows if row]
    return len(rows[0]) == width + 1 and bool(rows[0][-1]) and len({*names}) == len(names)


def open_file(source: Source) -> IO[bytes]:
    """Return a file as Python opens it."""
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


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
    # Where commas stand before decimals, there may be one more of them than of semicolons.
    if 2 * line.count(";") > line.count(","):
        return ";"
    best = max(",\t", key=line.count)
    return best if best in line else " "


def _cells(line: str, delimiter: str) -> list[str]:
    if delimiter == " ":
        return [cell.strip('"') for cell in line.split()]
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]


def _is_number(cell: str) -> bool:
    try:
        read_float(cell.replace(",", ".", 1))
    except ValueError:
        return cell.lower() in UNKNOWN
    return True


def _decimal(rows: list[list[str]], delimiter: str) -> str:
    """Return what stands before decimals: a comma where some cells have one, and none a point."""

    def any_with(mark: str) -> bool:
        return any(re.fullmatch(rf"-?\d+{mark}\d+", cell) for row in rows for cell in row)

    return "," if delimiter != "," and any_with(",") and not any_with(r"\.") else "."


def read_parquet(source: Source) -> Any:
    """Return the table in a Parquet file; a `DataError` where it is damaged."""
    return _parquet(pa_parquet.read_table, source)


def _parquet(read: Callable[[Any], Any], source: Source) -> Any:
    try:
        with open_file(source) as file:
            return read(file)
    except (pa.ArrowException, OSError) as error:
        raise DataError("it is not a complete Parquet file: damaged or cut off") from error
