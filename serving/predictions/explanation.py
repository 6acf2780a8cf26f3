"""Why the probability of one patient is not that of the reference patient."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clinical.schema import FEATURE_NAMES
from risk_model.model import Model
from serving.predictions.prediction import Prediction, pointed

TOLERANCE = 1e-4
"""By how much base and contributions may miss the served probability: float32 adds up so well."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """How each finding moved a patient's probability away from the reference's.

    Parameters
    ----------
    base : float
        The probability of the reference patient.
    contributions, reference : mapping of str to float
        By feature: what it added to the probability, and the value of the reference patient.
    """

    base: float
    contributions: Mapping[str, float]
    reference: Mapping[str, float]


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
    if not abs(parts.probability - prediction.probability) <= TOLERANCE:
        return None
    contributions = dict(zip(FEATURE_NAMES, parts.contributions.tolist(), strict=True))
    return Explanation(parts.base, contributions, model.reference)


def to_json(model: Model, prediction: Prediction, explanation: Explanation) -> bytes:
    """Write the answer of POST /explain."""
    content = {
        "probability": round(prediction.probability, 6),
        "base_probability": round(explanation.base, 6),
        "contributions": {k: round(v, 6) for k, v in explanation.contributions.items()},
        "reference": dict(explanation.reference),
        "risk_level": prediction.risk_level,
        "model_version": model.origin.version,
        "engine": model.engine.name,
        "data_source": model.data_source,
        "imputed": prediction.imputed,
        "warnings": pointed(prediction.warnings),
    }
    if prediction.refit_range is not None:
        content["refit_range"] = [round(end, 6) for end in prediction.refit_range]
    return json.dumps(content).encode() + b"\n"
