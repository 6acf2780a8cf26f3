"""Frames of patients in the canonical coding, and masks of their cells.

A canonical frame has the 13 ``FEATURE_NAMES`` as float64 columns in their order, NaN where a
value is unknown, and, where the outcome is known, the int8 column ``disease`` after them.
No function changes the frame that it is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from clinical.schema import FEATURE_NAMES, FEATURES, LABEL

Mask = npt.NDArray[np.bool_]

#: The features that a usable patient's record must know.
REQUIRED: tuple[str, ...] = tuple(feature.name for feature in FEATURES if not feature.nullable)


def out_of_range(values: npt.NDArray[np.float64], low: float, high: float) -> Mask:
    """Mark the known values outside of [low, high]; NaN is unknown, thus not marked."""
    return np.asarray((values < low) | (values > high))


def frame_from_columns(columns: Iterable[npt.NDArray[np.float64]]) -> pd.DataFrame:
    """Wrap one array for each of the 13 features as a canonical frame, without a copy."""
    return pd.DataFrame(dict(zip(FEATURE_NAMES, columns, strict=True)), copy=False)


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
