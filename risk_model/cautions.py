"""What is said beside a prediction: values that the model has not seen, and unknown ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clinical.schema import FEATURES, Feature
from risk_model import patterns
from risk_model.card.wording import between
from risk_model.measurements import UnknownPattern
from risk_model.metadata import Metadata, TrainingRange


@dataclass(frozen=True)
class Caution:
    """When to warn about a value of a feature, and in which words.

    Parameters
    ----------
    name : str
        The feature.
    low, high : float
        The range of the training rows.
    codes : frozenset of int, optional
        For a coded feature, those of the training rows.
    message : str
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
        words = ", ".join(f"{c} ({feature.codes.get(c, '?')})" for c in seen.codes)
    else:
        words = f"{low:g} to {high:g} {feature.unit}".rstrip()
    message = f"'{feature.name}' is outside of what the model was trained on: {words}."
    return Caution(
        feature.name, low, high, None if seen.codes is None else frozenset(seen.codes), message
    )


Warnings = dict[tuple[str, ...], dict[str, str]]
"""By the features that are unknown together: what to say of each of them."""


def unknown(metadata: Metadata) -> Warnings:
    """Return what to say where features are unknown, as far as it was measured."""
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


def _listed(names: Sequence[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if quoted[1:] else quoted)


def _late(metadata: Metadata) -> Warnings:
    """Return what to say of a model of format 1: of some features, whatever else is unknown."""
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
