"""Copies and near-copies of patients: found, dropped, and kept on one side of a split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from clinical.frame import Mask
from clinical.schema import FEATURE_NAMES, LABEL

Hashes = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.intp]

#: Near-copies know at least so many findings in common, of which at most one differs.
KNOWN_IN_BOTH = 10

_SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")
_HASH_BLOCK = 1 << 16
_UNKNOWN_BITS = np.float64(np.nan).view(np.uint64)


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


def _shared(hashes: Hashes) -> npt.NDArray[np.intp]:
    """Give the places of all hashes that come more than once."""
    # Sorting is far quicker than a hash table, and the hashes that come twice are few.
    ordered = np.sort(hashes)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(twice):
        return np.empty(0, dtype=np.intp)
    return np.flatnonzero(pd.Series(hashes).isin(twice).to_numpy())


@dataclass(frozen=True)
class _Pattern:
    """Patients who know the same findings.

    Parameters
    ----------
    known : ndarray of bool, shape (13,)
    rows : ndarray of int
        Their places.
    hashes : ndarray of uint64, shape (13, patients)
        A hash of each finding; their sum stands for any set of findings.
    """

    known: Mask
    rows: Rows
    hashes: Hashes


def _patterns(frame: pd.DataFrame) -> list[_Pattern]:
    """Return the patients by what they know."""
    values = np.array([frame[name].to_numpy(dtype=np.float64) for name in FEATURE_NAMES])
    salts = _mix(np.arange(len(FEATURE_NAMES), dtype=np.uint64))[:, None]
    hashes = _mix(_bits(values) ^ salts)
    kinds, which = np.unique(~np.isnan(values), axis=1, return_inverse=True)
    patterns = []
    for number, known in enumerate(kinds.T):
        rows = np.flatnonzero(which == number)
        patterns.append(_Pattern(known, rows, hashes[:, rows]))
    return patterns


def _keys(one: _Pattern, other: _Pattern) -> Iterator[tuple[Hashes, Hashes]]:
    """Yield keys of two patterns, equal for patients who agree in all that both know but one.

    There is a pair of arrays for each finding that may differ; none where too little is known.
    """
    both = np.flatnonzero(one.known & other.known)
    if len(both) >= KNOWN_IN_BOTH:
        whole, others = one.hashes[both].sum(axis=0), other.hashes[both].sum(axis=0)
        for finding in both:
            yield whole - one.hashes[finding], others - other.hashes[finding]


def has_near_copy(patients: pd.DataFrame, others: pd.DataFrame) -> Mask:
    """Mark the patients of whom there is a copy or a near-copy among others.

    Parameters
    ----------
    patients, others : DataFrame
        Canonical; near-copies know at least `KNOWN_IN_BOTH` findings in common, of which at most
        one differs.
    """
    marked = np.zeros(len(patients), dtype=np.bool_)
    theirs = _patterns(others)
    for pattern in _patterns(patients):
        for other in theirs:
            for key, key_there in _keys(pattern, other):
                marked[pattern.rows] |= np.isin(key, key_there)
    return marked


def near_copies(frame: pd.DataFrame) -> Hashes:
    """Return one hash for all copies and near-copies of a patient.

    A group is one patient with the near-copies of that patient, so that a chain of small changes
    does not grow: whoever has most near-copies comes first, then whoever has the lower hash.
    Neither the order of the rows nor their index matters.

    Parameters
    ----------
    frame : DataFrame
        Canonical; near-copies know at least `KNOWN_IN_BOTH` findings in common, of which at most
        one differs.

    Returns
    -------
    ndarray of uint64, shape (patients,)
        The hash of the patient who stands for the group: their own for who has no near-copy.
    """
    hashes, first, which = np.unique(row_hashes(frame), return_index=True, return_inverse=True)
    neighbours, degree = _neighbours(frame.iloc[first])
    groups, grouped = hashes.copy(), np.zeros(len(hashes), dtype=np.bool_)
    for leader in sorted(neighbours, key=lambda row: (-degree[row], row)):
        if not grouped[leader]:
            members = np.unique(np.concatenate([[leader], *neighbours[leader]]))
            members = members[~grouped[members]]
            groups[members], grouped[members] = hashes[leader], True
    return groups[which]


def _neighbours(patients: pd.DataFrame) -> tuple[dict[int, list[Rows]], Rows]:
    """Return, for each patient who has near-copies, who they are, and how many."""
    neighbours: dict[int, list[Rows]] = defaultdict(list)
    degree = np.zeros(len(patients), dtype=np.intp)
    patterns = _patterns(patients)
    for one, other in product(patterns, patterns):
        for key, key_there in _keys(one, other):
            # Few have any, and they are found by sorting alone.
            few = _shared(key) if one is other else np.flatnonzero(np.isin(key, key_there))
            if len(few):
                order = np.argsort(key_there)
                low, high = (np.searchsorted(key_there, key[few], s, order) for s in _SIDES)
                degree[one.rows[few]] += high - low - (one is other)  # not oneself
                for place, start, stop in zip(few, low, high, strict=True):
                    neighbours[int(one.rows[place])].append(other.rows[order[start:stop]])
    return neighbours, degree


def split(
    frame: pd.DataFrame, test_size: float, seed: int = 42
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Divide labelled patients into training and test rows, stratified, nested and stable.

    Inside each class the patients are ordered by a hash of their features, salted by the seed;
    the first ``round(test_size * patients)`` are the test set. So the row order does not matter,
    a larger `test_size` contains the test set of a smaller one, and copies and near-copies of one
    patient (see `near_copies`) count as one patient and are on one side, even where they
    contradict each other about the label (they count as diseased).

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
    patients, which = np.unique(_salted(near_copies(frame), seed), return_inverse=True)
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
