"""The checks that a model passes before it is trusted: by the gate, the service and the steps."""

import math

import numpy as np
import numpy.typing as npt

from clinical.schema import FEATURES
from risk_model.engines import Engine, score_many
from risk_model.errors import ModelError
from risk_model.metadata import References

PATIENTS = 10_000
SEED = 20_241
ROUNDING = 1e-6
"""Trees that are added up in float32 may exceed 1 by so much."""


def check_references(engine: Engine, references: References, *, required: bool) -> None:
    """Score the reference patients and compare.

    Raises a `ModelError` where a probability differs by more than the recorded tolerance, or there
    is nothing to compare though there must be.
    """
    if not references.inputs:
        if required:
            raise ModelError("The model carries no references: nothing shows that it is intact.")
        return
    expected = np.array(references.probabilities, dtype=np.float64)
    rows = np.array(references.inputs, dtype=np.float64)  # None becomes NaN
    probabilities = engine.score(rows).probabilities
    # A difference that is NaN is no agreement either.
    if (
        probabilities.shape != expected.shape
        or not (np.abs(probabilities - expected) <= references.tolerance).all()
    ):
        raise ModelError("The model does not give the probabilities of its references.")


def check_answers(engine: Engine) -> None:
    """Check the predictions for made-up patients, the ends of all ranges among them.

    Raises a `ModelError` where an answer is no probability, a label contradicts its probability, or
    unknown values are not taken: a request may hold them.
    """
    patients = made_up_patients(PATIENTS)
    unknown = patients[:1].copy()
    unknown[:, [feature.nullable for feature in FEATURES]] = math.nan
    try:
        engine.score(unknown)
    except Exception as error:  # whatever a library says of NaN
        raise ModelError("The model takes no unknown values: it must replace them.") from error
    # In small parts: the runtime keeps what it has once needed, in each worker.
    labels, probabilities = score_many(engine, patients.T, 1000)
    if not ((probabilities >= -ROUNDING) & (probabilities <= 1 + ROUNDING)).all():
        raise ModelError("The model gives a probability that is not in [0, 1].")
    undecided = np.abs(probabilities - 0.5) <= ROUNDING
    if not ((labels == (probabilities > 0.5)) | (undecided & np.isin(labels, (0, 1)))).all():
        raise ModelError("The model predicts a class that contradicts its probability.")


def made_up_patients(count: int) -> npt.NDArray[np.float64]:
    """Return the same made-up patients every time, shape (count, 13).

    Codes and measured values are drawn evenly, a third of the measured ones from both ends of
    their range; every pattern of unknown values comes equally often, and so does "none".
    """
    draw = np.random.default_rng(SEED)
    columns = []
    nullable = [feature.name for feature in FEATURES if feature.nullable]
    pattern = np.arange(count)
    for feature in FEATURES:
        if feature.codes:
            values = draw.choice(list(feature.codes), count).astype(np.float64)
        else:
            values = draw.uniform(feature.low, feature.high, count)
            ends = draw.random(count) < 1 / 3
            values[ends] = draw.choice([feature.low, feature.high], count)[ends]
        if feature.nullable:
            values[pattern >> nullable.index(feature.name) & 1 == 1] = math.nan
        columns.append(values)
    return np.column_stack(columns)
