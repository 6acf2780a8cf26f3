"""Warnings beside a prediction: values and pairs of them that training lacked, unknown findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

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


class _Finding(NamedTuple):
    """The training values of a feature: its codes, or a range from `low` to `high`."""

    name: str
    low: float
    high: float
    factor: float  # cuts a range into parts; 0 for codes
    # By code or part: the bits of the pairs it is in, its own, and further up those of what it was
    # never seen with.
    mask_of: Callable[..., Any]
    message: str


def _scale(feature: Feature, seen: TrainingRange, parts: int) -> tuple[float, float]:
    """Return what to take off a value, and the factor, that give the place it is counted in."""
    if feature.codes:
        return 0.0, 1.0
    low, high = seen.low or 0.0, seen.high or 0.0
    return low, parts / ((high - low) or 1.0)


def _finding(
    feature: Feature, seen: TrainingRange | None, parts: int, bits: Mapping[tuple[str, int], int]
) -> _Finding | None:
    """Return the training values of a feature; None where the model does not hold them."""
    masks = {place: each for (name, place), each in bits.items() if name == feature.name}
    low, high, factor = 0.0, 0.0, 0.0
    if seen and seen.codes is not None:
        trained_on = ", ".join(f"{code} ({feature.codes.get(code, '?')})" for code in seen.codes)
        masks = {code: masks.get(code, 0) for code in seen.codes}
    elif seen and seen.low is not None and seen.high is not None:
        low, high = seen.low, seen.high
        _, factor = _scale(feature, seen, parts)
        trained_on = f"{low:g} to {high:g} {feature.unit}".rstrip()
        if parts - 1 in masks:
            masks[parts] = masks[parts - 1]  # the highest of all
    else:
        return None
    message = f"'{feature.name}' is outside of what the model was trained on: {trained_on}."
    return _Finding(feature.name, low, high, factor, masks.get, message)


def unseen_pairs(
    training: pd.DataFrame, seen: Mapping[str, TrainingRange], parts: int = PARTS
) -> UnseenPairs:
    """Return which codes, and parts of ranges, no training patient had together.

    Values that no patient had at all are not among them: each is warned about by itself.
    """
    members: dict[tuple[str, int], list[bool]] = {}
    for feature in FEATURES:
        low, factor = _scale(feature, seen[feature.name], parts)
        places = (training[feature.name] - low) * factor // 1
        if not feature.codes:
            places = places.clip(upper=parts - 1)  # the highest of all is in the last part
        for place in sorted(places.dropna().unique()):
            members[feature.name, int(place)] = (places == place).tolist()
    keys, rows = list(members), np.array(list(members.values()), dtype=np.float32)
    never = zip(*np.nonzero(np.triu(rows @ rows.T == 0)), strict=True)
    pairs = ((*keys[i], *keys[j]) for i, j in never if keys[i][0] != keys[j][0])
    return UnseenPairs(parts=parts, pairs=tuple(pairs))


class Cautions:
    """Warnings of values, and of pairs of them, that no training patient had."""

    def __init__(self, metadata: Metadata) -> None:
        unseen = metadata.unseen_pairs or UnseenPairs(parts=1, pairs=())
        ends = [((a, i), (b, j)) for a, i, b, j in unseen.pairs]
        own = {key: 1 << n for n, key in enumerate(dict.fromkeys(chain.from_iterable(ends)))}
        self._above = len(own)
        bits = dict(own)
        for one, other in ends:
            bits[one] |= own[other] << self._above
            bits[other] |= own[one] << self._above
        self._pairs = [(own[one] | own[other], one[0], other[0]) for one, other in ends]
        self._findings = [
            _finding(feature, metadata.seen.get(feature.name), unseen.parts, bits)
            for feature in FEATURES
        ]

    def warnings(self, values: Sequence[float | None]) -> list[tuple[str, str]]:
        """Return features, and the messages, for the 13 values in the order of FEATURES."""
        messages, bits = [], 0
        for finding, value in zip(self._findings, values, strict=True):
            if finding is None or value is None:
                continue
            name, low, high, factor, mask_of, message = finding
            if factor:
                if not low <= value <= high:
                    messages.append((name, message))
                bits |= mask_of(int((value - low) * factor), 0)
            elif (bit := mask_of(value)) is None:
                messages.append((name, message))
            else:
                bits |= bit
        if bits & bits >> self._above:
            messages += self._messages(bits)
        return messages

    def _messages(self, bits: int) -> Iterator[tuple[str, str]]:
        pairs = [(one, other) for both, one, other in self._pairs if both & bits == both]
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


def unknown_findings(metadata: Metadata) -> Warnings:
    """Return the messages for unknown features, as far as that was measured."""
    if metadata.unknown_patterns is None:
        return _late(metadata)
    complete = metadata.pattern(())
    return {
        pattern.unknown: dict.fromkeys(pattern.unknown, _measured(pattern, complete))
        for pattern in metadata.unknown_patterns
        if complete and pattern.unknown
    }


def _measured(pattern: UnknownPattern, complete: UnknownPattern) -> str:
    auc, with_all = (between(each.metrics, "roc_auc", 2) for each in (pattern, complete))
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
