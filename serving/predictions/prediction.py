"""The answer for one patient."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from clinical.schema import FEATURE_NAMES
from risk_model.model import Model


@dataclass(frozen=True, slots=True)
class Prediction:
    """The prediction for one patient.

    `warnings` are fields outside of what the model has seen, alone or together, or unknown, each
    with the message; `refit_range` is where models refitted on resamples put such patients.
    """

    label: int  # 1 disease, 0 none
    probability: float  # of disease
    risk_level: str
    imputed: list[str]  # fields that were unknown
    warnings: list[tuple[str, str]]
    refit_range: tuple[float, float] | None = None

    @property
    def confidence(self) -> float:
        """The probability of the predicted class."""
        return self.probability if self.label else 1.0 - self.probability


def predict(model: Model, values: Sequence[float | None]) -> Prediction:
    """Score one patient, given as the 13 values in the order of FEATURES, None where unknown."""
    warnings = model.cautions.warnings(values)
    imputed: list[str] = []
    if None in values:
        imputed = [name for name, value in zip(FEATURE_NAMES, values, strict=True) if value is None]
        warnings += model.unknown.get(tuple(imputed), {}).items()
    label, probability = model.engine.score_one(values)
    level, refits = model.risk_level(probability), model.metadata.refits
    sure = refits.range_of(probability) if refits else None
    return Prediction(label, probability, level, imputed, warnings, sure)


@lru_cache(maxsize=64)
def _texts(level: str, version: str, engine: str, data_source: str) -> str:
    return (
        f'"risk_level":{json.dumps(level)},"model_version":{json.dumps(version)},'
        f'"engine":{json.dumps(engine)},"data_source":{json.dumps(data_source)}'
    )


def to_json(model: Model, prediction: Prediction, id_: str = "") -> bytes:
    """Return the answer as JSON. By hand: the fields are few, and each request needs it."""
    texts = _texts(
        prediction.risk_level, model.origin.version, model.engine.name, model.data_source
    )
    imputed = json.dumps(prediction.imputed) if prediction.imputed else "[]"
    warnings = json.dumps(_pointed(prediction.warnings)) if prediction.warnings else "[]"
    rest = f',"prediction_id":"{id_}"' if id_ else ""
    if prediction.refit_range is not None:
        low, high = prediction.refit_range
        rest = f',"refit_range":[{round(low, 6)},{round(high, 6)}]{rest}'
    # Six decimals: below the 1e-5 that engines may differ by, above what a person reads.
    return (
        f'{{"prediction":{prediction.label},"confidence":{round(prediction.confidence, 6)},'
        f'"probability":{round(prediction.probability, 6)},{texts},'
        f'"imputed":{imputed},"warnings":{warnings}{rest}}}\n'
    ).encode()


def _pointed(warnings: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"pointer": f"/{name}", "detail": message} for name, message in warnings]
