"""Warnings beside a prediction: values and pairs of them that training lacked, unknown findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from clinical.schema import FEATURES, Feature
from risk_model import patterns
from risk_model.card.wording import between
from risk_model.measurements import UnknownPattern
from risk_model.metadata import Metadata, TrainingRange, UnseenPairs

if TYPE_CHECKING:
    import pandas as pd

PARTS = 6
"""Into how many equal parts the training patients' range of a measurement is divided."""


@dataclass(frozen=True)
class Caution:
    """When to warn about a value of the feature `name`, and how.

    That is where it is outside of the range from `low` to `high` of the training rows, or none of
    their `codes`.
    """

    name: str
    low: float
    high: float
    codes: frozenset[int] | None
    message: str

    def warns(self, value: float) -> bool:
        """Return whether a value is outside of what the training rows had."""
        if self.codes is not None:
            return value not in self.codes
        return not self.low <= value <= self.high


def out_of_range(metadata: Metadata) -> tuple[Caution | None, ...]:
    """Return, in the order of FEATURES, when to warn; None where nothing is known."""
    return tuple(_caution(feature, metadata.seen.get(feature.name)) for feature in FEATURES)


def _caution(feature: Feature, seen: TrainingRange | None) -> Caution | None:
    if seen is None:
        return None
    low = feature.low if seen.low is None else seen.low
    high = feature.high if seen.high is None else seen.high
    if seen.codes is not None:
        had = ", ".join(f"{c} ({feature.codes.get(c, '?')})" for c in seen.codes)
    else:
        had = f"{low:g} to {high:g} {feature.unit}".rstrip()
    message = f"'{feature.name}' is outside of what the model was trained on: {had}."
    return Caution(
        feature.name, low, high, None if seen.codes is None else frozenset(seen.codes), message
    )


def _scale(feature: Feature, seen: TrainingRange, parts: int) -> tuple[float, float]:
    """Return what to take off a value, and the factor, that give the place it is counted in."""
    if feature.codes:
        return 0.0, 1.0
    low, high = seen.low or 0.0, seen.high or 0.0
    return low, parts / ((high - low) or 1.0)


def unseen_pairs(
    training: pd.DataFrame, seen: Mapping[str, TrainingRange], parts: int = PARTS
) -> UnseenPairs:
    """Return which codes, and parts of ranges, no training patient had together.

    What nobody had at all is not among them: `out_of_range` warns about that.
    """
    had: dict[tuple[str, int], list[bool]] = {}
    for feature in FEATURES:
        low, factor = _scale(feature, seen[feature.name], parts)
        places = (training[feature.name] - low) * factor // 1
        if not feature.codes:
            places = places.clip(upper=parts - 1)  # the highest of all is in the last part
        for place in sorted(places.dropna().unique()):
            had[feature.name, int(place)] = (places == place).tolist()
    keys, rows = list(had), np.array(list(had.values()), dtype=np.float32)
    never = zip(*np.nonzero(np.triu(rows @ rows.T == 0)), strict=True)
    pairs = ((*keys[i], *keys[j]) for i, j in never if keys[i][0] != keys[j][0])
    return UnseenPairs(parts=parts, pairs=tuple(pairs))


class Combinations:
    """The pairs of findings that no training patient had, to be looked up for a patient."""

    def __init__(self, metadata: Metadata) -> None:
        stated = metadata.unseen_pairs or UnseenPairs(parts=1, pairs=())
        ends = [((a, i), (b, j)) for a, i, b, j in stated.pairs]
        bits = {key: 1 << n for n, key in enumerate(dict.fromkeys(chain.from_iterable(ends)))}
        never = dict.fromkeys(bits, 0)
        for one, other in ends:
            never[one] |= bits[other]
            never[other] |= bits[one]
        # For each feature: its scale, and by place its own bit and those it was never seen with.
        self._tables: list[tuple[float, float, dict[int, tuple[int, int]]]] = []
        for feature in FEATURES if ends else ():
            table = {place: (bit, never[name, place])
                     for (name, place), bit in bits.items() if name == feature.name}  # fmt: skip
            if not feature.codes and stated.parts - 1 in table:
                table[stated.parts] = table[stated.parts - 1]  # the highest of all
            seen = metadata.seen[feature.name]
            self._tables.append((*_scale(feature, seen, stated.parts), table))
        self._pairs = [(bits[one] | bits[other], one[0], other[0]) for one, other in ends]

    def warnings(self, values: Sequence[float | None]) -> Iterator[tuple[str, str]]:
        """Yield a feature, and the message, until every unseen pair is named."""
        nothing, had, never = (0, 0), 0, 0
        for (low, factor, table), value in zip(self._tables, values, strict=False):
            if value is not None:
                bit, others = table.get(int((value - low) * factor), nothing)
                had |= bit
                never |= others
        if had & never:
            yield from self._messages(had)

    def _messages(self, had: int) -> Iterator[tuple[str, str]]:
        pairs = [(one, other) for both, one, other in self._pairs if both & had == both]
        while pairs:
            counts = Counter(chain.from_iterable(pairs))
            name = max(counts, key=lambda each: (counts[each], each))
            others = sorted({other for pair in pairs if name in pair for other in pair} - {name})
            pairs = [pair for pair in pairs if name not in pair]
            yield (
                name,
                (
                    f"No patient in training had both such a value of '{name}' and such a value of "
                    f"{_listed(others, 'or')}."
                ),
            )


Warnings = dict[tuple[str, ...], dict[str, str]]
"""By the features that are unknown together: the message for each of them."""


def unknown(metadata: Metadata) -> Warnings:
    """Return the messages for unknown features, as far as that was measured."""
    if metadata.unknown_patterns is None:
        return _late(metadata)
    known = metadata.pattern(())
    return {
        pattern.unknown: dict.fromkeys(pattern.unknown, _measured(pattern, known))
        for pattern in metadata.unknown_patterns
        if known and pattern.unknown
    }


def _measured(pattern: UnknownPattern, known: UnknownPattern) -> str:
    auc, with_all = (between(found.metrics, "roc_auc", 2) for found in (pattern, known))
    ratio = between(pattern.metrics, "observed_expected", 2)
    return (
        f"With {_listed(pattern.unknown)} unknown, the ROC AUC of this model is {auc}, and "
        f"{with_all} with all findings; observed / expected cases are {ratio} (cross-validated)."
    )


def _listed(names: Sequence[str], last: str = "and") -> str:
    quoted = [f"'{name}'" for name in names]
    return f" {last} ".join([", ".join(quoted[:-1]), quoted[-1]] if quoted[1:] else quoted)


def _late(metadata: Metadata) -> Warnings:
    """Return the messages of a model of format 1: for some features, whatever else is unknown."""
    measured, whole = metadata.unknown, metadata.out_of_fold
    if measured is None or whole is None:
        return {}
    figures = (measured.roc_auc, measured.ci_low, measured.ci_high, whole.metrics.get("roc_auc"))
    if None in figures:
        return {}
    auc, low, high, with_all = figures
    message = (
        f"The ROC AUC of this model is {with_all:.2f} with {_listed(measured.without)}, and "
        f"{auc:.2f} ({low:.2f} to {high:.2f}) where they are unknown (cross-validated)."
    )
    every = (patterns.unknown(number) for number in range(patterns.COUNT))
    return {names: {name: message for name in names if name in measured.without} for names in every}
