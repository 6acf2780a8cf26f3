"""An answer in words and pictures, as the form shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clinical.schema import FEATURES, Feature
from risk_model.model import Model
from serving.predictions.explanation import Explanation
from serving.predictions.prediction import Prediction

MIDDLE = 50.0


@dataclass(frozen=True, slots=True)
class Move:
    """How one finding moved the probability: in words, and as a bar to either side of the middle.

    Parameters
    ----------
    feature : Feature
    value, reference : str
        The patient's value and the reference's, in words.
    points : float
        Percentage points.
    x, width : float
        The bar, in a picture that is 100 wide.
    """

    feature: Feature
    value: str
    reference: str
    points: float
    x: float
    width: float

    @property
    def amount(self) -> str:
        """The points with their sign, as they are printed."""
        return f"{abs(self.points):.1f}" if self.direction == "same" else f"{self.points:+.1f}"

    @property
    def direction(self) -> str:
        """Which way: up, down, or the same as far as one decimal tells."""
        if abs(self.points) < 0.05:
            return "same"
        return "up" if self.points > 0 else "down"


def moves(explanation: Explanation, values: Sequence[float | None]) -> list[Move]:
    """Return what moved the probability, the furthest first.

    What is as in the reference moved nothing and is not among them; nor is what was unknown to a
    model of format 1, for which that is the same.
    """
    largest = max(map(abs, explanation.contributions.values())) or 1.0
    found = []
    for feature, value in zip(FEATURES, values, strict=True):
        reference = explanation.reference[feature.name]
        share = explanation.contributions[feature.name]
        if value == reference or (value is None and not share):
            continue
        width = MIDDLE * abs(share) / largest
        x = MIDDLE if share > 0 else MIDDLE - width
        told, compared = feature.format_value(value), feature.format_value(reference)
        found.append(Move(feature, told, compared, 100 * share, x, width))
    return sorted(found, key=lambda move: -abs(move.points))


def unmoved(explanation: Explanation, values: Sequence[float | None]) -> list[tuple[str, str]]:
    """Return title and value of the findings that moved nothing."""
    return [
        (feature.inline, feature.format_value(value))
        for feature, value in zip(FEATURES, values, strict=True)
        if value == explanation.reference[feature.name]
        or (value is None and not explanation.contributions[feature.name])
    ]


def bands(model: Model) -> list[dict[str, Any]]:
    """Return the bands of risk as parts of a bar of 100 units."""
    starts = [start for _, start in model.bands] + [1.0]
    return [
        {"level": level, "x": 100 * start, "width": 100 * (end - start)}
        for (level, start), end in zip(model.bands, starts[1:], strict=True)
    ]


def percent(model: Model, probability: float) -> str:
    """Return a probability in percent: whole, or as exact as its band and its class need."""

    def means(p: float) -> tuple[str, bool]:
        return model.risk_level(p), p > 0.5

    told = (f"{100 * probability:.{digits}f}" for digits in range(4))
    exact = f"{100 * probability:.6f}"
    return next((t for t in told if means(float(t) / 100) == means(probability)), exact)


def observed(model: Model, prediction: Prediction) -> dict[str, Any] | None:
    """Return how many patients of whom as much was unknown fell into the band and were ill."""
    found = model.metadata.observed(prediction.imputed, prediction.risk_level)
    if found is None or not found.patients:
        return None
    return {**found.model_dump(), "share": found.diseased / found.patients}


def cautions(warnings: Sequence[tuple[str, str]]) -> list[str]:
    """Return warnings with titles in place of names, each once."""
    text = "\n".join(dict.fromkeys(words for _, words in warnings))
    for feature in FEATURES:
        text = text.replace(f"'{feature.name}' is", f"{feature.title} is")
        text = text.replace(f"'{feature.name}'", feature.inline)
    return text.splitlines()
