"""Frames of patients in the canonical coding: made and checked.

A canonical frame has the 13 ``FEATURE_NAMES`` as float64 columns in their order, NaN where a
value is unknown, and, where the outcome is known, the int8 column ``disease`` after them.
No function changes the frame that it is given.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from clinical.errors import ROWS_LISTED, cell_problem, raise_problems
from clinical.schema import FEATURE_NAMES, FEATURES, LABEL

Mask = npt.NDArray[np.bool_]

#: The features that a usable patient's record must know.
REQUIRED: tuple[str, ...] = tuple(feature.name for feature in FEATURES if not feature.nullable)

LABEL_ALLOWED = "one of " + ", ".join(f"{code} ({word})" for code, word in LABEL.codes.items())


def masked_problem(column: str, bad: Mask, allowed: str) -> str:
    """Say in one line which cells a mask marks; see `cell_problem`."""
    rows = np.flatnonzero(bad) + 1
    return cell_problem(column, rows[:ROWS_LISTED].tolist(), len(rows), allowed)


def out_of_range(values: npt.NDArray[np.float64], low: float, high: float) -> Mask:
    """Mark the known values outside of [low, high]; NaN is unknown, thus not marked."""
    return np.asarray((values < low) | (values > high))


def not_coded(values: npt.NDArray[np.float64], codes: Iterable[float]) -> Mask:
    """Mark the known values that are none of the codes."""
    bad = ~np.isnan(values)
    for code in codes:
        bad &= values != code
    return bad


def validate(frame: pd.DataFrame, *, require_known: Collection[str] = ()) -> None:
    """Check every cell of a canonical frame against ``FEATURES``.

    Parameters
    ----------
    frame : DataFrame
        With at least the 13 features as numeric columns; the label is checked where present.
    require_known : collection of str
        The columns in which NaN is a problem too, such as `REQUIRED`.

    Raises
    ------
    DataError
        Naming every missing column, and every column with bad cells together with their row
        numbers (counted from 1 in the frame's order).
    """
    problems = [f"{name}: this column is missing" for name in FEATURE_NAMES if name not in frame]
    for feature in FEATURES:
        if feature.name not in frame:
            continue
        values = frame[feature.name].to_numpy(dtype=np.float64)
        if feature.codes:
            bad = not_coded(values, feature.codes)
        else:
            bad = out_of_range(values, feature.low, feature.high)
        if feature.name in require_known:
            bad |= np.isnan(values)
        if bad.any():
            problems.append(masked_problem(feature.name, bad, feature.allowed))
    if LABEL.name in frame:
        labels = frame[LABEL.name].to_numpy(dtype=np.float64)
        bad = not_coded(labels, LABEL.codes)
        if LABEL.name in require_known:
            bad |= np.isnan(labels)
        if bad.any():
            problems.append(masked_problem(LABEL.name, bad, LABEL_ALLOWED))
    raise_problems("These patients cannot be used:", problems)


def frame_from_records(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Make a canonical frame, without a label, from one mapping per patient.

    A feature that is absent, None or NaN becomes NaN. Only types are checked here: see `validate`.

    Raises
    ------
    DataError
        Naming every key that is no feature and every value that is no number.
    """
    values = np.full((len(FEATURES), len(records)), np.nan)
    unknown = sorted({str(key) for record in records for key in record} - set(FEATURE_NAMES))
    problems = [f"{key}: no such feature" for key in unknown]
    for feature, row in zip(FEATURES, values, strict=True):
        cells = [record.get(feature.name) for record in records]
        bad = [number for number, cell in enumerate(cells, start=1) if not _is_number(cell)]
        if bad:
            problems.append(cell_problem(feature.name, bad, len(bad), feature.allowed))
        else:
            row[:] = [np.nan if cell is None else float(cell) for cell in cells]
    raise_problems("These records cannot be used:", problems)
    return frame_from_columns(values)


def frame_from_columns(columns: Iterable[npt.NDArray[np.float64]]) -> pd.DataFrame:
    """Wrap one array for each of the 13 features as a canonical frame, without a copy."""
    return pd.DataFrame(dict(zip(FEATURE_NAMES, columns, strict=True)), copy=False)


def _is_number(cell: object) -> bool:
    # In Python a bool is a Real, but a true for `ca` is a mistake rather than "one vessel".
    return cell is None or (isinstance(cell, Real) and not isinstance(cell, bool | np.bool_))


def unknown_cells(columns: Mapping[str, Any] | pd.DataFrame) -> dict[str, Mask]:
    """Mark the unknown cells, in each column that has some and may not."""
    masks = {
        name: np.isnan(np.asarray(columns[name]))
        for name in (*REQUIRED, LABEL.name)
        if name in columns and columns[name].dtype.kind == "f"
    }
    return {name: mask for name, mask in masks.items() if mask.any()}


def any_of(masks: Mapping[str, Mask], rows: int) -> Mask:
    """Mark the rows that any of the masks marks."""
    marked = np.zeros(rows, dtype=np.bool_)
    for mask in masks.values():
        marked |= mask
    return marked
