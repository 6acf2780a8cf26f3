"""Patterns of unknown findings: which of those that may be unknown are, as a number from 0 on.

Each finding that may be unknown is a bit, the first of them the lowest: 0 is "all known".
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from clinical.schema import FEATURES

PLACES = tuple(i for i, feature in enumerate(FEATURES) if feature.nullable)
"""Where among the 13 features those are that may be unknown."""
NAMES = tuple(FEATURES[place].name for place in PLACES)
BITS = 1 << np.arange(len(PLACES))
COUNT = 1 << len(PLACES)

Rows = npt.NDArray[np.floating[Any]]


def of_rows(rows: Rows) -> npt.NDArray[np.intp]:
    """Return the pattern of each row of the 13 values, shape (n,)."""
    return np.asarray(np.isnan(rows[:, PLACES]) @ BITS, dtype=np.intp)


def unknown(pattern: int) -> tuple[str, ...]:
    """Return the names of the findings that are unknown in a pattern."""
    return tuple(name for bit, name in zip(BITS, NAMES, strict=True) if pattern & bit)


def within(patterns: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Return whose own unknown findings are all unknown in a pattern, shape (COUNT, n)."""
    return np.asarray((patterns & ~np.arange(COUNT)[:, np.newaxis]) == 0)


def masked(rows: Rows) -> npt.NDArray[np.float64]:
    """Return rows once for each pattern, its findings unknown, shape (COUNT * n, 13)."""
    every = np.repeat(rows[np.newaxis].astype(np.float64), COUNT, axis=0)
    for place, bit in zip(PLACES, BITS, strict=True):
        every[(np.arange(COUNT) & bit) > 0, :, place] = np.nan
    return every.reshape(-1, len(FEATURES))
