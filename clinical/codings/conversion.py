"""Columns of any coding brought to the canonical one, block by block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from clinical.codings.definitions import AS_IT_IS, Coding
from clinical.schema import FEATURES
from clinical.tables import Column, Mask

#: More than the highest code of any coding, and a power of two.
_CODES = 16
_UNKNOWN = -9


@dataclass(frozen=True)
class Converted:
    """Some rows in the canonical coding.

    `columns` are NaN where unknown or not valid; `bad` marks, for each column that has such cells,
    the known ones that are not valid; `disguised` counts the numbers that stood for an unknown
    value.
    """

    columns: dict[str, Column] = field(default_factory=dict)
    bad: dict[str, Mask] = field(default_factory=dict)
    disguised: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, column: Column, bad: Mask, disguised: int) -> None:
        """Add a column."""
        self.columns[name] = column
        self.disguised[name] = disguised
        if bad.any():
            self.bad[name] = bad


def convert(columns: Mapping[str, Column], coding: Coding) -> Converted:
    """Convert the features, and the label where there is one; the input stays as it is.

    It is as the file writes it: float64, NaN where unknown. What the coding does not know is left
    out.
    """
    converted = Converted()
    for feature in FEATURES:
        if feature.name in columns:
            values, hidden = _unmask(columns[feature.name], coding.disguised.get(feature.name, ()))
            if feature.codes:
                values, bad = _recode(values, coding.codes_of(feature))
            else:
                bad = (values < feature.low) | (values > feature.high)
            converted.add(feature.name, values, bad, hidden)
    for name, label in coding.labels.items():
        if name in columns:
            values, hidden = _unmask(columns[name], ())
            converted.add(name, *_recode(values, label.codes), hidden)
    return converted


def _unmask(values: Column, disguised: tuple[int, ...]) -> tuple[Column, int]:
    """Return the values with NaN for numbers that stand for an unknown value, and their count."""
    hidden = values == _UNKNOWN
    for number in disguised:
        hidden |= values == number
    count = int(hidden.sum())
    return (np.where(hidden, np.nan, values), count) if count else (values, 0)


def _recode(values: Column, codes: Mapping[int, int]) -> tuple[Column, Mask]:
    """Translate codes; NaN and a mark where there is no such code."""
    # Two look-ups instead of a comparison for each code: a million rows pass here nine times.
    # Whatever place a cell falls on, it must find itself there.
    itself, canonical = np.full(_CODES, np.nan), np.full(_CODES, np.nan)
    itself[list(codes)], canonical[list(codes)] = list(codes), list(codes.values())
    with np.errstate(invalid="ignore"):
        place = values.astype(np.int8) & (_CODES - 1)
    valid = itself[place] == values
    if valid.all():
        return (values if np.array_equal(itself, canonical, True) else canonical[place]), ~valid
    return np.where(valid, canonical[place], np.nan), ~valid & ~np.isnan(values)


def describe(coding: Coding, label: str | None) -> list[str]:
    """Return what conversion changes, one line for each column."""
    lines = [
        f"{name}: " + ", ".join(f"{old} -> {new}" for old, new in codes.items())
        for name, codes in coding.codes.items()
    ]
    if label and coding.labels[label] is not AS_IT_IS:
        lines.append(coding.labels[label].meaning.format(label=label))
    return lines
