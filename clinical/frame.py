"""Frames of patients in the canonical coding: made, checked, cleaned and divided.

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

from clinical.errors import DataError
from clinical.schema import FEATURE_NAMES, FEATURES, LABEL

Hashes = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

#: The features that a usable patient's record must know.
REQUIRED: tuple[str, ...] = tuple(feature.name for feature in FEATURES if not feature.nullable)

LABEL_ALLOWED = "one of " + ", ".join(f"{code} ({word})" for code, word in LABEL.codes.items())

#: How many row numbers a message lists before it only counts.
ROWS_LISTED = 10

_HASH_BLOCK = 1 << 16
_UNKNOWN_BITS = np.float64(np.nan).view(np.uint64)


def cell_problem(column: str, rows: Iterable[int], total: int, allowed: str) -> str:
    """Say in one line which cells of a column are not usable, and what would be.

    Parameters
    ----------
    column : str
        Name of the column, as in the data.
    rows : iterable of int
        Numbers of the first offending rows, counted from 1; at most `ROWS_LISTED` are shown.
    total : int
        How many rows offend in all.
    allowed : str
        What is valid, such as ``Feature.allowed``.
    """
    shown = [str(row) for row, _ in zip(rows, range(ROWS_LISTED), strict=False)]
    more = f" and {total - len(shown)} more" if total > len(shown) else ""
    return f"{column}: must be {allowed}; row{'s' * (total > 1)} {', '.join(shown)}{more}"


def masked_problem(column: str, bad: Mask, allowed: str) -> str:
    """Say in one line which cells a mask marks; see `cell_problem`."""
    rows = np.flatnonzero(bad) + 1
    return cell_problem(column, rows[:ROWS_LISTED].tolist(), len(rows), allowed)


def raise_problems(head: str, problems: Sequence[str]) -> None:
    """Raise one `DataError` that tells all problems; do nothing where there is none."""
    if problems:
        raise DataError("\n".join([head, *(f"  {problem}" for problem in problems)]))


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


def row_hashes(frame: pd.DataFrame) -> Hashes:
    """Hash the 13 features of each patient.

    The hash depends on the values alone: not on the index, the row order, further columns, the
    platform, or a library's version. It chains the 64-bit finaliser of SplitMix64 over the
    float64 bits of the features. Distinct patients may collide, as in any 64-bit hash: among a
    million of them with a probability of about 3e-8.

    Returns
    -------
    ndarray of uint64, shape (patients,)

    References
    ----------
    Steele, Lea, Flood: Fast splittable pseudorandom number generators. OOPSLA 2014.
    https://doi.org/10.1145/2660193.2660195
    """
    hashes = np.zeros(len(frame), dtype=np.uint64)
    columns = [frame[name].to_numpy(dtype=np.float64) for name in FEATURE_NAMES]
    # In blocks that fit the processor's cache, which also bounds the temporary arrays.
    for start in range(0, len(frame), _HASH_BLOCK):
        part = hashes[start : start + _HASH_BLOCK]
        for column in columns:
            part ^= _bits(column[start : start + _HASH_BLOCK])
            part[:] = _mix(part)
    return hashes


def _bits(values: npt.NDArray[np.float64]) -> Hashes:
    """View the numbers as their bits, with one zero (not -0.0) and one NaN."""
    bits = (values + 0.0).view(np.uint64)
    bits[np.isnan(values)] = _UNKNOWN_BITS
    return bits


def _mix(values: Hashes) -> Hashes:
    """Scramble 64-bit integers, one to one, as SplitMix64 does."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def drop_repeated(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep the first of the rows that agree in all features, and in the label if there is one."""
    keep = ~repeated(frame, row_hashes(frame))
    # Copy-on-write makes the unchanged case free, which matters for a million rows.
    return frame.copy(deep=False) if keep.all() else frame.loc[keep]


def repeated(frame: pd.DataFrame, hashes: Hashes) -> Mask:
    """Mark the rows that agree with an earlier one in all features and the label.

    Parameters
    ----------
    frame : DataFrame
    hashes : ndarray
        Its `row_hashes`.
    """
    marked = np.zeros(len(hashes), dtype=np.bool_)
    rows = _shared(hashes)
    hashes = hashes[rows]
    if LABEL.name in frame:
        labels = frame[LABEL.name].to_numpy(dtype=np.float64)[rows]
        hashes = _mix(hashes ^ _bits(labels))
    _, first = np.unique(hashes, return_index=True)
    marked[np.delete(rows, first)] = True
    return marked


def contradictory(hashes: Hashes, dropped: Mask) -> Mask:
    """Mark the patients that remain more than once: with both labels, and nobody knows which.

    Parameters
    ----------
    hashes : ndarray
        The `row_hashes` of all rows.
    dropped : ndarray
        The rows that do not remain; all that are `repeated` are among them.
    """
    rows = _shared(hashes)
    rows = rows[~dropped[rows]]
    marked = np.zeros(len(hashes), dtype=np.bool_)
    marked[rows[_shared(hashes[rows])]] = True
    return marked


def unknown_cells(frame: pd.DataFrame) -> dict[str, Mask]:
    """Mark the unknown cells, in each column that has some and may not."""
    masks = {
        name: np.isnan(frame[name].to_numpy())
        for name in (*REQUIRED, LABEL.name)
        if name in frame and frame[name].dtype.kind == "f"
    }
    return {name: mask for name, mask in masks.items() if mask.any()}


def any_of(masks: Mapping[str, Mask], rows: int) -> Mask:
    """Mark the rows that any of the masks marks."""
    marked = np.zeros(rows, dtype=np.bool_)
    for mask in masks.values():
        marked |= mask
    return marked


def _shared(hashes: Hashes) -> npt.NDArray[np.intp]:
    """Give the places of all hashes that come more than once."""
    # Sorting is far quicker than a hash table, and the hashes that come twice are few.
    ordered = np.sort(hashes)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(twice):
        return np.empty(0, dtype=np.intp)
    return np.flatnonzero(pd.Series(hashes).isin(twice).to_numpy())


def split(
    frame: pd.DataFrame, test_size: float, seed: int = 42
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Divide labelled patients into training and test rows, stratified, nested and stable.

    Inside each class the patients are ordered by a hash of their features, salted by the seed;
    the first ``round(test_size * patients)`` are the test set. So the row order does not matter,
    a larger `test_size` contains the test set of a smaller one, and copies of one patient are on
    one side, even where they contradict each other about the label (they count as diseased).

    Parameters
    ----------
    frame : DataFrame
        Canonical, with ``disease``.
    test_size : float
        Share of the patients to hold out, between 0 and 1.
    seed : int
        Another seed gives another split.

    Returns
    -------
    train, test : DataFrame
        With the rows of the frame in their order, and their index.
    """
    if not 0 < test_size < 1:
        raise ValueError("test_size must be a number between 0 and 1, both excluded")
    patients, which = np.unique(_salted(row_hashes(frame), seed), return_inverse=True)
    diseased = np.zeros(len(patients), dtype=np.bool_)
    diseased[which[frame[LABEL.name].to_numpy() == 1]] = True
    held_out = np.zeros(len(patients), dtype=np.bool_)
    for members in (np.flatnonzero(~diseased), np.flatnonzero(diseased)):
        held_out[members[: round(test_size * len(members))]] = True
    in_test = held_out[which]
    return frame.loc[~in_test], frame.loc[in_test]


def _salted(hashes: Hashes, seed: int) -> Hashes:
    salt = _mix(np.array([seed % (1 << 64)], dtype=np.uint64))
    return _mix(hashes ^ salt)
