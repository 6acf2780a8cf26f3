"""The bodies of MLflow's scoring protocol, read straight into an array.

No pandas, which a worker would have to import.
"""

import csv
import gc
import io
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pydantic_core

from clinical.numbers import read_float
from clinical.schema import FEATURE_NAMES, REQUIRED
from risk_model.engines import Rows
from risk_model.flavours import inputs
from risk_model.model import Model
from serving.errors import Problem

_LARGEST = np.finfo(np.float32).max  # what models compute with
_SHORTEST_ROW = 20  # bytes of the required values of one patient, with commas and brackets
_NAMES = frozenset(FEATURE_NAMES)
_HEADER = ",".join(FEATURE_NAMES).encode()
ToArray = Callable[[Sequence[Sequence[Any]]], Rows]


def read(model: Model, kind: str, body: bytes) -> Rows:
    """Return the patients of a body whose media type is one of READERS.

    Raises
    ------
    Problem
        400 where it cannot be read, or holds what the model refuses to score.
    """
    rows = READERS[kind](body)
    if not len(rows):
        raise _bad("There are no rows to score.")
    if (np.abs(rows) > _LARGEST).any():
        raise _bad("A value is infinite, or larger than any model can take.")
    if model.metadata.format > 1 and (why := inputs.refusal(rows)):
        raise _bad(f"The input cannot be scored: {why}")
    return rows


def _bad(detail: str) -> Problem:
    return Problem(400, detail)


# -- JSON ------------------------------------------------------------------------------------------


def read_json(body: bytes) -> Rows:
    """Return the rows of a JSON body in any of the protocol's formats."""
    _refuse_short_rows(body, b"[", b"{")
    gc.disable()  # it would look at a batch again and again while that is read
    try:
        content = pydantic_core.from_json(body, allow_inf_nan=True, cache_strings="keys")
    except ValueError:
        raise _bad("The body is not valid JSON (RFC 8259, UTF-8).") from None
    finally:
        gc.enable()
    formats = [name for name in _FORMATS if name in content] if isinstance(content, dict) else []
    if len(formats) != 1:
        raise _bad("The body must be an object with exactly one of " + ", ".join(_FORMATS) + ".")
    name = formats[0]
    if name in ("instances", "inputs") and len(content) > 1 + ("params" in content):
        raise _bad("Next to instances or inputs there may be params only.")
    array = _array if b"true" in body or b"false" in body else _packed
    return _FORMATS[name](content[name], array)


def _refuse_short_rows(body: bytes, *begins: bytes) -> None:
    """Refuse what holds more rows than patients would fit in: it would take 30 times its size."""
    if sum(map(body.count, begins)) > 1000 + len(body) // _SHORTEST_ROW:
        raise _bad("The rows are too short to hold a patient.")


def _read_split(part: Any, array: ToArray) -> Rows:
    if not isinstance(part, dict) or "data" not in part or set(part) - {"columns", "data", "index"}:
        raise _bad("dataframe_split must have data, and may have columns and index.")
    return _from_table(part.get("columns"), part["data"], array)


def _read_records(part: Any, array: ToArray) -> Rows:
    if not isinstance(part, list) or not all(isinstance(row, dict) for row in part):
        raise _bad("The records must be a list of objects.")
    try:
        return array([[row[name] for name in FEATURE_NAMES] for row in part])
    except KeyError:
        pass
    # As a data frame would: what a record lacks is unknown, if any record has it.
    names = set(chain.from_iterable(part))
    _require_columns(names)
    return array([[row.get(name) for name in FEATURE_NAMES] for row in part])


def _read_columns(part: Any, array: ToArray) -> Rows:
    if isinstance(part, dict):
        _require_columns(part)
        # Scalars are one patient.
        columns = {n: c if isinstance(c, list) else [c] for n, c in part.items() if n in _NAMES}
        lengths = {len(column) for column in columns.values()}
        if len(lengths) > 1:
            raise _bad("The columns differ in length.")
        unknown = [None] * lengths.pop()
        ordered = [columns.get(name, unknown) for name in FEATURE_NAMES]
        return array(list(zip(*ordered, strict=True)))
    if isinstance(part, list) and part and all(isinstance(row, dict) for row in part):
        return _read_records(part, array)
    return _from_table(None, part, array)


def _from_table(columns: Any, data: Any, array: ToArray) -> Rows:
    if not isinstance(data, list) or set(map(type, data)) - {list}:
        raise _bad("The data must be a list of rows, each a list.")
    if columns is None:
        columns = list(FEATURE_NAMES)
        if data and len(data[0]) != len(columns):
            raise _bad(f"Without column names a row must have {len(columns)} values.")
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise _bad("The columns must be a list of names.")
    if set(map(len, data)) - {len(columns)}:
        raise _bad("A row has more or fewer values than there are columns.")
    if tuple(columns) == FEATURE_NAMES:
        return array(data)
    places = _places(columns)
    return array([[None if p is None else row[p] for p in places] for row in data])


def _places(columns: Sequence[str]) -> list[int | None]:
    """Return where each feature is, None for one that is unknown for all patients."""
    _require_columns(columns)
    if any(columns.count(name) > 1 for name in FEATURE_NAMES):
        raise _bad("A column is there twice.")
    return [columns.index(name) if name in columns else None for name in FEATURE_NAMES]


def _require_columns(names: Iterable[str]) -> None:
    lacking = [name for name in REQUIRED if name not in names]
    if lacking:
        raise _bad("The input lacks the columns " + ", ".join(lacking) + ".")


def _packed(rows: Sequence[Sequence[Any]]) -> Rows:
    """Turn rows into an array, in half the time where there are only numbers. Takes booleans."""
    flat = list(chain.from_iterable(rows))
    try:
        return np.frombuffer(struct.pack(f"{len(flat)}d", *flat)).reshape(-1, len(FEATURE_NAMES))
    except (struct.error, OverflowError):
        return _array(rows)


def _array(rows: Sequence[Sequence[Any]]) -> Rows:
    """Turn rows of numbers and None (unknown) into an array; texts and booleans are refused."""
    flat = list(chain.from_iterable(rows))
    if not set(map(type, flat)) <= {int, float, type(None)}:
        raise _bad("A value is not a number.")
    try:
        return np.array(flat, dtype=np.float64).reshape(-1, len(FEATURE_NAMES))
    except (OverflowError, ValueError, TypeError):
        raise _bad("A value is not a number that can be held.") from None


_FORMATS = {
    "dataframe_split": _read_split,
    "dataframe_records": _read_records,
    "instances": _read_columns,
    "inputs": _read_columns,
}


# -- CSV -------------------------------------------------------------------------------------------

# What pandas reads as unknown.
# fmt: off
_UNKNOWN = frozenset({
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
})
# fmt: on


def read_csv(body: bytes) -> Rows:
    """Return the rows of a CSV body with a header, of numbers in UTF-8."""
    _refuse_short_rows(body, b"\n", b"\r")
    if body.partition(b"\n")[0].strip() == _HEADER and b'"' not in body:
        fast = _read_plain(body)
        if fast is not None:
            return fast
    text = io.TextIOWrapper(io.BytesIO(body), "utf-8-sig", newline="")
    lines = filter(None, csv.reader(text, strict=True))
    try:
        return _read_lines(lines)
    except UnicodeDecodeError:
        raise _bad("The body is not UTF-8.") from None
    except csv.Error:
        raise _bad("The body is not valid CSV.") from None


def _read_lines(lines: Iterator[list[str]]) -> Rows:
    names = next(lines, [])
    if not names:
        raise _bad("The body has no header.")
    places = _places(names)

    def cells() -> Iterator[float]:
        for line in lines:
            if len(line) != len(names):
                raise _bad("A line has more or fewer values than the header.")
            yield from (np.nan if p is None else _number(line[p]) for p in places)

    return np.fromiter(cells(), dtype=np.float64).reshape(-1, len(FEATURE_NAMES))


def _read_plain(body: bytes) -> Rows | None:
    """Read lines of 13 numbers each in compiled code; None where there is anything else."""
    text = io.TextIOWrapper(io.BytesIO(body), "utf-8")
    try:
        rows = np.loadtxt(text, delimiter=",", ndmin=2, comments=None, skiprows=1)
    except ValueError:  # a UnicodeDecodeError too
        return None
    return rows if rows.shape[1] == len(FEATURE_NAMES) else None


def _number(cell: str) -> float:
    if cell.strip() in _UNKNOWN:
        return np.nan
    try:
        return read_float(cell)
    except ValueError:
        raise _bad("A value is not a number.") from None


READERS = {"application/json": read_json, "text/csv": read_csv}
