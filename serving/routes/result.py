"""An answer as text and pictures, as the form shows it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from flask import request

from clinical.schema import FEATURES
from risk_model.card import wording
from risk_model.measurements import Observed
from risk_model.model import Model
from serving.errors import Problem
from serving.predictions.explanation import explain
from serving.predictions.prediction import Prediction, predict
from serving.predictions.schemas import Values
from serving.routes.service import service

if TYPE_CHECKING:
    from risk_model.shapley import Explanation

BESIDE = 2
"""Bins of the probability, on either side, in which patients are like one."""
SMALLEST = 0.005
"""Contributions below half a percentage point are listed without a bar."""


class Move(NamedTuple):
    """How one finding moved the probability, in percentage points, from the reference's value."""

    title: str
    value: str
    reference: str
    points: float
    share: float  # of the furthest move, 0 to 1


def answer(model: Model, values: Values) -> dict[str, Any]:
    """Return what the page shows of an answer."""
    prediction = predict(model, values)
    parts: dict[str, Any] = {
        "prediction": prediction,
        "percent": percent(model, prediction.probability),
        "cautions": cautions(prediction.warnings),
        "bands": bands(model),
        "observed": observed(model, prediction),
        "unknown": [f.inline for f in FEATURES if f.name in prediction.imputed],
        "population": wording.population(model.metadata),
        "why_low": wording.why_low(model.metadata),
    }
    explanation = None
    with contextlib.suppress(Problem):  # too many at once: the answer comes without it
        explanation = service.background(
            lambda: explain(model, values, prediction), request.environ
        )
    if explanation is not None and model.reference is not None:
        moved, unmoved = moves(explanation, model.reference, values)
        parts |= {"explanation": explanation, "moves": moved, "unmoved": unmoved}
    return parts


def moves(
    explanation: Explanation, reference: Mapping[str, float], values: Values
) -> tuple[list[Move], list[str]]:
    """Return what moved the probability by half a point or more, the furthest first, and the rest.

    The rest as text.
    """
    contributions = explanation.contributions.tolist()
    largest = max(map(abs, contributions))
    moved, others = [], []
    for feature, value, by in zip(FEATURES, values, contributions, strict=True):
        shown = feature.format_value(value)
        if abs(by) < SMALLEST:
            others.append(f"{feature.inline} ({shown})")
            continue
        typical = feature.format_value(reference[feature.name])
        moved.append(Move(feature.title, shown, typical, 100 * by, abs(by) / largest))
    return sorted(moved, key=lambda move: -move.share), others


def bands(model: Model) -> list[tuple[str, float, float]]:
    """Return the bands of risk: level, beginning and end."""
    starts = [start for _, start in model.bands] + [1.0]
    return [
        (level, start, end) for (level, start), end in zip(model.bands, starts[1:], strict=True)
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
    metadata = model.metadata
    if prediction.imputed:
        pattern = metadata.pattern(prediction.imputed)
        counts = pattern.histogram if pattern else None
    else:
        calibration = metadata.out_of_fold.calibration if metadata.out_of_fold else None
        counts = calibration.histogram if calibration else None
    outcomes: Observed | None
    if counts:
        bins = len(counts["1"])
        place = min(int(prediction.probability * bins), bins - 1)
        first, last = max(place - BESIDE, 0), min(place + BESIDE + 1, bins)
        healthy, diseased = (sum(counts[label][first:last]) for label in ("0", "1"))
        outcomes, start, end = Observed.of(healthy + diseased, diseased), first / bins, last / bins
    else:
        level = prediction.risk_level
        outcomes = metadata.observed(prediction.imputed, level)
        start, end = next((start, end) for name, start, end in bands(model) if name == level)
    if outcomes is None or not outcomes.patients:
        return None
    share = outcomes.diseased / outcomes.patients
    return {**outcomes.model_dump(), "share": share, "start": start, "end": end}


def cautions(warnings: Sequence[tuple[str, str]]) -> list[str]:
    """Return warnings with titles in place of names, each once."""
    text = "\n".join(dict.fromkeys(message for _, message in warnings))
    for feature in FEATURES:
        text = text.replace(f"'{feature.name}' is", f"{feature.title} is")
        text = text.replace(f"'{feature.name}'", feature.inline)
    return text.splitlines()
