"""The risk bands: which word is used for a probability of disease."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Bands = tuple[tuple[str, float], ...]

RISK_BANDS: Bands = (("Low", 0.0), ("Moderate", 0.3), ("High", 0.7))
"""Each level, and the probability from which on it is used; see docs/decisions/0009-risk-bands.md.

A stored model carries its own; these are those of a new model, and of one that carries none.
"""


def risk_level(bands: Sequence[tuple[str, float]], probability: float) -> str:
    """Return the level of a probability of disease."""
    level = bands[0][0]
    for name, start in bands:
        if probability >= start:
            level = name
    return level


def risk_levels(bands: Bands, probabilities: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.intp]:
    """Return the places in `bands` of the levels of many probabilities, shape (n,)."""
    starts = np.array([start for _, start in bands])
    levels = np.searchsorted(starts, probabilities.astype(np.float64), side="right") - 1
    return np.asarray(levels.clip(0))
