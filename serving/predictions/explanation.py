"""Why the probability of one patient is not that of the reference patient."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from clinical.schema import FEATURE_NAMES
from risk_model.model import Model
from serving.predictions.prediction import Prediction
from serving.predictions.prediction import to_json as prediction_to_json

if TYPE_CHECKING:
    from risk_model.shapley import Explanation

TOLERANCE = 1e-4
"""By how much base and contributions may miss the served probability: float32 adds up so well."""


def explain(
    model: Model, values: Sequence[float | None], prediction: Prediction
) -> Explanation | None:
    """Explain a prediction by the engine that made it.

    None where the model has no reference, or a model of format 1 has one that differs from what it
    puts in place of unknown values, so that the parts would not add up to what was served.
    """
    if model.reference is None:
        return None
    # At the first request: a worker that explains nothing does not hold its tables.
    from risk_model import shapley

    patient = np.array(values, dtype=np.float64)  # NaN for None
    reference = np.array(list(model.reference.values()))
    if model.metadata.format == 1:
        patient = np.where(np.isnan(patient), reference, patient)
    parts = shapley.explain(lambda rows: model.engine.score(rows).probabilities, patient, reference)
    adds_up = abs(parts.probability - prediction.probability) <= TOLERANCE
    return parts if adds_up else None


def to_json(model: Model, prediction: Prediction, parts: Explanation) -> bytes:
    """Return the answer of POST /explain: that of /predict, and what moved the probability."""
    rest = json.loads(prediction_to_json(model, prediction))
    del rest["prediction"], rest["confidence"]
    contributions = [round(points, 6) for points in parts.contributions.tolist()]
    content = {
        "probability": rest["probability"],
        "base_probability": round(parts.base, 6),
        "contributions": dict(zip(FEATURE_NAMES, contributions, strict=True)),
        "reference": model.reference,
    }
    return json.dumps(content | rest).encode() + b"\n"
