"""Copies and near-copies of patients: detected, and kept on one side of a split."""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from clinical.errors import DataError
from clinical.schema import FEATURE_NAMES, LABEL

Mask = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.intp]

#: Near-copies know at least so many findings in common, of which at most one differs.
KNOWN_IN_BOTH = 10
#: Of folds, another one than that of the held-out patients, who are not folds of their own then.
SALT = 10

_HASH_BLOCK = 1 << 16
_UNKNOWN_BITS = np.float64(np.nan).view(np.uint64)


def row_hashes(frame: pd.DataFrame) -> Hashes:
    """Hash the 13 features of each patient, shape (patients,).

    The hash depends on the values alone: not on the index, the row order, further columns, the
    platform, or a library's version. It chains the 64-bit finaliser of SplitMix64 over the
    float64 bits of the features. Among a million distinct patients two collide with a
    probability of about 3e-8.

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


def repeated(frame: pd.DataFrame, hashes: Hashes) -> Mask:
    """Mark the rows that agree with an earlier one in all features, by `row_hashes`, and label."""
    hashes = _mix(hashes ^ _bits(frame[LABEL.name].to_numpy(dtype=np.float64)))
    return pd.Series(hashes).duplicated().to_numpy()


class _Pattern(NamedTuple):
    """Patients with the same known findings."""

    known: Mask
    rows: Rows
    hashes: Hashes  # of each finding, shape (13, n): their sum stands for any set of findings


def _patterns(frame: pd.DataFrame) -> list[_Pattern]:
    """Return the patients grouped by their known findings."""
    values = np.array([frame[name].to_numpy(dtype=np.float64) for name in FEATURE_NAMES])
    salts = _mix(np.arange(len(FEATURE_NAMES), dtype=np.uint64))[:, None]
    hashes = _mix(_bits(values) ^ salts)
    kinds, which = np.unique(~np.isnan(values), axis=1, return_inverse=True)
    groups = [np.flatnonzero(which == number) for number in range(kinds.shape[1])]
    return [_Pattern(kinds[:, i], rows, hashes[:, rows]) for i, rows in enumerate(groups)]


def _keys(one: _Pattern, other: _Pattern) -> Iterator[tuple[Hashes, Hashes]]:
    """Yield keys of two patterns, equal for patients with the same shared findings but for one.

    There is a pair of arrays for each finding that may differ; none with too few shared ones.
    """
    both = np.flatnonzero(one.known & other.known)
    if len(both) >= KNOWN_IN_BOTH:
        whole, others = one.hashes[both].sum(axis=0), other.hashes[both].sum(axis=0)
        for finding in both:
            yield whole - one.hashes[finding], others - other.hashes[finding]


def has_near_copy(patients: pd.DataFrame, others: pd.DataFrame) -> Mask:
    """Mark the patients that have a copy or a near-copy among others.

    Near-copies share at least `KNOWN_IN_BOTH` known findings, of which at most one differs.
    """
    marked = is_in(row_hashes(patients), row_hashes(others))
    theirs = _patterns(others)
    for pattern in _patterns(patients):
        for other in theirs:
            for key, key_there in _keys(pattern, other):
                marked[pattern.rows] |= is_in(key, key_there)
    return marked


def near_copies(frame: pd.DataFrame) -> Hashes:
    """Return one hash for all copies and near-copies of a patient, shape (patients,).

    A group is one patient with the near-copies of that patient, whose hash stands for it, so that
    a chain of small changes does not grow: whoever has most near-copies comes first, then whoever
    has the lower hash. Neither the order of the rows nor their index matters.
    """
    hashes, first, which = np.unique(row_hashes(frame), return_index=True, return_inverse=True)
    neighbours, degree = _neighbours(frame.iloc[first])
    groups, grouped = hashes.copy(), np.zeros(len(hashes), dtype=np.bool_)
    for leader in sorted(neighbours, key=lambda row: (-degree[row], row)):
        if not grouped[leader]:
            members = np.concatenate([[leader], *neighbours[leader]])
            members = members[~grouped[members]]
            groups[members], grouped[members] = hashes[leader], True
    return groups[which]


def _neighbours(patients: pd.DataFrame) -> tuple[dict[int, list[Rows]], Rows]:
    """Return, for each patient with near-copies, their rows and their number."""
    neighbours: dict[int, list[Rows]] = {}
    degree = np.zeros(len(patients), dtype=np.intp)
    for one, other in product(_patterns(patients), repeat=2):
        for keys, keys_there in _keys(one, other):
            if one is other:
                few = few_there = np.flatnonzero(pd.Series(keys).duplicated(keep=False))
            else:
                few, few_there = _common(keys, keys_there)
            few_there = few_there[np.argsort(keys_there[few_there])]
            low = np.searchsorted(keys_there[few_there], keys[few], "left")
            high = np.searchsorted(keys_there[few_there], keys[few], "right")
            degree[one.rows[few]] += high - low - (one is other)
            for row, start, stop in zip(one.rows[few].tolist(), low, high, strict=True):
                neighbours.setdefault(row, []).append(other.rows[few_there[start:stop]])
    return neighbours, degree


def _common(keys: Hashes, others: Hashes) -> tuple[Rows, Rows]:
    """Return the places of the keys that both have."""
    # A long array against a short, sorted one, which stays in the processor's cache.
    if len(keys) < len(others):
        return _common(others, keys)[::-1]
    few = np.flatnonzero(is_in(keys, others))
    return few, np.flatnonzero(is_in(others, keys[few]))


def is_in(keys: Hashes, others: Hashes) -> Mask:
    """Mark the hashes that are among others."""
    # np.isin takes several times as long on integers of 64 bits.
    if not len(others):
        return np.zeros(len(keys), dtype=np.bool_)
    ordered = np.sort(others)
    places = np.searchsorted(ordered, keys)
    return np.asarray(ordered[np.minimum(places, len(ordered) - 1)] == keys)


def split(
    frame: pd.DataFrame, test_size: float, seed: int = 42
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Divide labelled patients into training and test rows, stratified, nested and stable.

    Inside each class the patients are ordered by a hash of their features, salted by the seed;
    the first ``round(test_size * patients)`` are the test set. So the row order does not matter,
    a larger `test_size` contains the test set of a smaller one, and copies and near-copies of one
    patient (see `near_copies`) count as one patient and are on one side, even where they
    contradict each other about the label (they count as diseased).
    """
    if not 0 < test_size < 1:
        raise ValueError("test_size must be a number between 0 and 1, both excluded")
    which, classes = _ordered(frame, frame[LABEL.name].to_numpy(), seed)
    in_test = np.zeros(len(frame), dtype=np.bool_)
    for members in classes:
        in_test |= np.isin(which, members[: round(test_size * len(members))])
    return frame.loc[~in_test], frame.loc[in_test]


def assign_folds(
    frame: pd.DataFrame, y: npt.NDArray[np.int8], count: int, salt: int = SALT
) -> Rows:
    """Return the fold of each patient in cross-validation, from 0 to `count` - 1.

    Inside each class the patients are ordered as by `split` and cut into equal parts. So the folds
    are the same in every run on these patients, whatever its parameters, and hardly others when
    some patients are added; near-copies of a patient are in one fold. Another `salt` gives others.

    Raises a `DataError` where a class has fewer patients than there are folds.
    """
    which, classes = _ordered(frame, y, salt)
    if (rarest := min(map(len, classes))) < count:
        raise DataError(
            f"{count}-fold cross-validation needs {count} patients of each class, of whom copies "
            f"and near-copies count as one; the rarer class has {rarest}"
        )
    fold = np.empty(sum(map(len, classes)), dtype=np.intp)
    for members in classes:
        fold[members] = np.arange(len(members)) * count // len(members)
    return np.asarray(fold[which])


def _ordered(
    frame: pd.DataFrame, y: npt.NDArray[np.int8], seed: int
) -> tuple[Rows, tuple[Rows, Rows]]:
    """Return the place of each row's patient in an order by salted hash, and those of each class.

    Copies and near-copies are one patient, diseased where any of them is.
    """
    salt = _mix(np.array([seed % (1 << 64)], dtype=np.uint64))
    patients, which = np.unique(_mix(near_copies(frame) ^ salt), return_inverse=True)
    diseased = np.zeros(len(patients), dtype=np.bool_)
    diseased[which[y == 1]] = True
    return which, (np.flatnonzero(~diseased), np.flatnonzero(diseased))
