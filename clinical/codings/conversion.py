"""Columns of any coding brought to the canonical one."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from clinical.codings.definitions import AS_IT_IS, Coding
from clinical.schema import FEATURES
from clinical.tables import Column, Mask

#: More than the highest code of any coding, and a power of two.
_CODES = 16
_UNKNOWN = -9


class Converted(NamedTuple):
    """Some rows in the canonical coding."""

    columns: dict[str, Column]  # NaN where unknown, or no code of the feature
    bad: dict[str, Mask]  # for each column that has such cells, the known ones that are not valid
    disguised: Counter[str]  # how many numbers stood for an unknown value


def convert(columns: Mapping[str, Column], coding: Coding) -> Converted:
    """Convert the features, and the label where there is one; the input stays as it is.

    It is as the file writes it: float64, NaN where unknown. What the coding does not know is left
    out.
    """
    ranges = {feature.name: (feature.low, feature.high) for feature in FEATURES}
    codes = {feature.name: coding.codes_of(feature) for feature in FEATURES}
    codes |= {name: label.codes for name, label in coding.labels.items()}
    converted = Converted({}, {}, Counter())
    for name in (name for name in codes if name in columns):
        values, hidden = _unmask(columns[name], coding.disguised.get(name, ()))
        if codes[name]:
            values, bad = _recode(values, codes[name])
        else:
            low, high = ranges[name]
            bad = (values < low) | (values > high)
        converted.columns[name] = values
        converted.disguised[name] = hidden
        if bad.any():
            converted.bad[name] = bad
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
