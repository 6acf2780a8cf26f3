"""What is known of a trained model: model.json, from which it is served, judged and described."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from clinical.hospitals import Cohort
from clinical.schema import FEATURES, LABEL
from steps.modelling import assessment, clinical_metrics, estimators, twin
from steps.modelling.metrics import Floats, Labels
from steps.modelling.validation import OutOfFold
from steps.parameters.declaration import Value
from steps.runs import provenance


@dataclass(frozen=True)
class Input:
    """What a model is trained and tried on.

    Parameters
    ----------
    patients : DataFrame
        Prepared.
    data : str
        What names them to `train`: the id of a preprocess run, or a path.
    source, digest : str
        The value of ``data.source``, and the SHA-256 of the patients' file.
    elsewhere : list of Cohort
        Patients of other hospitals, where the data came with some.
    """

    patients: pd.DataFrame
    data: str
    source: str
    digest: str
    elsewhere: list[Cohort]


@dataclass(frozen=True)
class Training:
    """A training that is done: what it was given, and what came of it.

    Parameters
    ----------
    run_id : str
    parameters : mapping
        Those of the step.
    data : Input
    labels : array of int, shape (n_patients,)
        Of all patients.
    validated : OutOfFold
        What cross-validation found.
    pipeline : Pipeline
        The fitted model.
    fitted, held_out : DataFrame
        The features that it was fitted on, and those that it was not.
    measures : dict of str to float
        Its figures on the held-out patients, and by cross-validation.
    """

    run_id: str
    parameters: Mapping[str, Value]
    data: Input
    labels: Labels
    validated: OutOfFold
    pipeline: Pipeline
    fitted: pd.DataFrame
    held_out: pd.DataFrame
    measures: dict[str, float]


def gather(done: Training, content: bytes | None) -> dict[str, Any]:
    """Return what those who serve or judge a model must know about it, as plain JSON values.

    `content` is its ONNX twin, as ``twin.convert`` gives it.
    """
    seed = int(str(done.parameters["random_state"]))
    patients, labels, validated = done.data.patients, done.labels, done.validated
    return {
        "name": done.parameters["model"],
        "run_id": done.run_id,
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "label": LABEL.definition,
        "parameters": dict(done.parameters),
        "data": _data(done),
        # Such as the precision of a model that says nobody is ill.
        "metrics": {k: v for k, v in done.measures.items() if math.isfinite(v)},
        "out_of_fold": assessment.out_of_fold(patients, labels, validated, seed),
        "unknown": assessment.unknown(labels, validated, seed),
        "risk_bands": clinical_metrics.bands(
            labels, validated.probabilities, assessment.RISK_BANDS
        ),
        **_of_the_fitted(done, content, seed),
        "git": provenance.git_state(),
        "repository": provenance.repository(),
    }


def _data(done: Training) -> dict[str, Any]:
    return {
        "source": done.data.source,
        "digest": done.data.digest,
        "rows": {"train": len(done.fitted), "test": len(done.held_out)},
        "prevalence": float(done.labels.mean()),
    }


def _of_the_fitted(done: Training, content: bytes | None, seed: int) -> dict[str, Any]:
    """Return the facts that need the fitted model: what moves its answers, other hospitals."""
    predict = _said_by(done.pipeline, content)
    known = seen(done.fitted, done.pipeline)
    reference = assessment.reference(predict, known)
    return {
        "seen": known,
        "reference": reference,
        "importance": assessment.importance(predict, done.held_out, reference),
        "elsewhere": assessment.elsewhere(done.data.elsewhere, predict, seed),
    }


def _said_by(pipeline: Pipeline, content: bytes | None) -> Callable[[pd.DataFrame], Floats]:
    """Return a model's probabilities as a function: those of its twin, which is served."""
    if content is not None:
        said = twin.load(content)
        return lambda patients: said(patients.to_numpy(float))
    return lambda patients: np.asarray(pipeline.predict_proba(patients)[:, 1], dtype=float)


def seen(training: pd.DataFrame, pipeline: Pipeline) -> dict[str, dict[str, Any]]:
    """Return, for each feature, what the training rows held and what replaces an unknown value."""
    replaced = estimators.fills(pipeline)
    found: dict[str, dict[str, Any]] = {}
    for feature in FEATURES:
        known = training[feature.name].dropna()
        if feature.codes:
            held: dict[str, Any] = {"codes": sorted({int(code) for code in known})}
        else:
            # JSON has no NaN: what nobody knew has no range.
            held = {"low": float(known.min()), "high": float(known.max())} if len(known) else {}
        found[feature.name] = held | {"fill": replaced[feature.name]}
    return found
