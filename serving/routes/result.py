"""An answer as text and pictures, as the form shows it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clinical.schema import FEATURES, Feature
from risk_model.card import wording
from risk_model.measurements import Observed, Outcomes
from risk_model.metadata import Metadata
from risk_model.model import Model
from serving.errors import Problem
from serving.http.gevent_support import BackgroundThread
from serving.predictions.explanation import Explanation, explain
from serving.predictions.prediction import Prediction, predict
from serving.predictions.schemas import Values

BESIDE = 2
"""Bins of the probability, on either side, in which patients are like one."""
MIDDLE = 50.0
SMALLEST = 0.005
"""Contributions below half a percentage point are listed without a bar."""

_TITLES = {feature.name: feature.inline for feature in FEATURES}


@dataclass(frozen=True, slots=True)
class Move:
    """How one finding moved the probability: as text, and as a bar to either side of the middle.

    Parameters
    ----------
    feature : Feature
    value, reference : str
        The patient's value and the reference's, as text.
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
    def unknown(self) -> bool:
        """Whether the finding is unknown, so that it is not knowing it that moved something."""
        return self.value == "unknown"

    @property
    def amount(self) -> str:
        """The points with their sign; a fraction of one is less than such a model bears."""
        return f"{self.points:+.0f}"

    @property
    def direction(self) -> str:
        """Which way: up or down."""
        return "up" if self.points > 0 else "down"


def answer(
    model: Model, values: Values, background: BackgroundThread, environ: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what the page shows of an answer."""
    prediction = predict(model, values)
    parts: dict[str, Any] = {
        "prediction": prediction,
        "percent": percent(model, prediction.probability),
        "cautions": cautions(prediction.warnings),
        "bands": bands(model),
        "observed": observed(model, prediction),
        "titles": _TITLES,
        "population": wording.population(model.metadata),
        "why_low": wording.why_low(model.metadata),
    }
    explanation = None
    with contextlib.suppress(Problem):  # too many at once: the answer comes without it
        explanation = background(lambda: explain(model, values, prediction), environ)
    if explanation is not None:
        moved, unmoved = moves(explanation, values)
        parts |= {"explanation": explanation, "moves": moved, "unmoved": unmoved}
    return parts


def moves(
    explanation: Explanation, values: Sequence[float | None]
) -> tuple[list[Move], list[tuple[str, str]]]:
    """Return what moved the probability by half a point or more, the furthest first, and the rest.

    The rest are title and value.
    """
    largest = max(map(abs, explanation.contributions.values())) or 1.0
    moved, others = [], []
    for feature, value in zip(FEATURES, values, strict=True):
        share = explanation.contributions[feature.name]
        shown = feature.format_value(value)
        if abs(share) < SMALLEST:
            others.append((feature.inline, shown))
            continue
        width = MIDDLE * abs(share) / largest
        x = MIDDLE if share > 0 else MIDDLE - width
        reference = feature.format_value(explanation.reference[feature.name])
        moved.append(Move(feature, shown, reference, 100 * share, x, width))
    return sorted(moved, key=lambda move: -abs(move.points)), others


def bands(model: Model) -> list[dict[str, Any]]:
    """Return the bands of risk as parts of a bar of 100 units."""
    starts = [start for _, start in model.bands] + [1.0]
    return [
        {"level": level, "x": 100 * start, "width": 100 * (end - start)}
        for (level, start), end in zip(model.bands, starts[1:], strict=True)
    ]


def percent(model: Model, probability: float) -> str:
    """Return a probability in percent: whole, or as exact as its band needs; never 0 or 100."""
    if not 0.005 <= probability < 0.995:
        return "under 1" if probability < 0.5 else "over 99"
    level = model.risk_level(probability)
    rounded = (f"{100 * probability:.{digits}f}" for digits in range(4))
    exact = f"{100 * probability:.6f}"
    return next((text for text in rounded if model.risk_level(float(text) / 100) == level), exact)


def observed(model: Model, prediction: Prediction) -> dict[str, Any] | None:
    """Return how many patients like this one there were, and how many had the disease.

    Those with the same findings unknown, and an out-of-fold probability in the same bin or in
    the two on either side; where that was not counted, those in the same risk band.
    """
    counts = _outcomes(model.metadata, prediction.imputed)
    if counts is None:
        outcomes, start, end = _in_band(model, prediction)
    else:
        bins = len(counts["1"])
        place = min(int(prediction.probability * bins), bins - 1)
        first, last = max(place - BESIDE, 0), min(place + BESIDE + 1, bins)
        healthy, diseased = (sum(counts[label][first:last]) for label in ("0", "1"))
        outcomes, start, end = Observed.of(healthy + diseased, diseased), first / bins, last / bins
    if outcomes is None or not outcomes.patients:
        return None
    share = outcomes.diseased / outcomes.patients
    return {**outcomes.model_dump(), "share": share, "start": start, "end": end}


def _outcomes(metadata: Metadata, unknown: Sequence[str]) -> Outcomes | None:
    if unknown:
        pattern = metadata.pattern(unknown)
        return pattern.histogram if pattern else None
    calibration = metadata.out_of_fold.calibration if metadata.out_of_fold else None
    return calibration.histogram if calibration else None


def _in_band(model: Model, prediction: Prediction) -> tuple[Observed | None, float, float]:
    starts = [*(start for _, start in model.bands), 1.0]
    place = [level for level, _ in model.bands].index(prediction.risk_level)
    outcomes = model.metadata.observed(prediction.imputed, prediction.risk_level)
    return outcomes, starts[place], starts[place + 1]


def cautions(warnings: Sequence[tuple[str, str]]) -> list[str]:
    """Return warnings with titles in place of names, each once."""
    text = "\n".join(dict.fromkeys(message for _, message in warnings))
    for feature in FEATURES:
        text = text.replace(f"'{feature.name}' is", f"{feature.title} is")
        text = text.replace(f"'{feature.name}'", feature.inline)
    return text.splitlines()
