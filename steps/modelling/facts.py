"""What is known about a trained model: its metadata, from which it is served and described."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import StackingClassifier

from clinical.hospitals import Cohort
from clinical.schema import FEATURE_NAMES, FEATURES, LABEL
from risk_model import batches, cautions
from risk_model.bands import RISK_BANDS
from risk_model.engines import Engine, OnnxEngine, SklearnEngine
from risk_model.metadata import FORMAT, Git, Metadata
from steps.modelling import assessment, clinical_metrics, estimators
from steps.modelling.metrics import Floats, Labels
from steps.modelling.validation import OutOfFold

Parameters = Mapping[str, str | int | float]


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
    model : StackingClassifier
        The fitted model.
    fitted, held_out : DataFrame
        The features that it was fitted on, and those that it was not.
    measures : dict of str to float
        Its figures on the held-out patients, and by cross-validation.
    refits : dict
        What `refits.measure` found.
    """

    run_id: str
    parameters: Parameters
    data: Input
    labels: Labels
    validated: OutOfFold
    model: StackingClassifier
    fitted: pd.DataFrame
    held_out: pd.DataFrame
    measures: dict[str, float]
    refits: dict[str, Any]


def gather(done: Training, content: bytes | None, git: Git, repository: str | None) -> Metadata:
    """Return what those who serve or judge a model must know about it.

    `content` is its ONNX model, as ``onnx_export.convert`` gives it; `git` and `repository` name
    the sources that trained it.
    """
    seed = int(done.parameters["random_state"])
    patients, labels, validated = done.data.patients, done.labels, done.validated
    return Metadata.of(
        {
            "format": FORMAT,
            "name": done.parameters["model"],
            "run_id": done.run_id,
            "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "label": LABEL.definition,
            "parameters": dict(done.parameters),
            "data": _data(done),
            # Such as the precision of a model that says nobody is ill.
            "metrics": {k: v for k, v in done.measures.items() if math.isfinite(v)},
            "out_of_fold": assessment.out_of_fold(patients, labels, validated, seed),
            "unknown_patterns": assessment.unknown_patterns(
                patients[list(FEATURE_NAMES)], labels, validated, seed
            ),
            "refits": done.refits,
            "risk_bands": clinical_metrics.bands(labels, validated.probabilities, dict(RISK_BANDS)),
            **_of_the_fitted(done, content, seed),
            "git": git,
            "repository": repository,
        }
    )


def _data(done: Training) -> dict[str, Any]:
    return {
        "source": done.data.source,
        "digest": done.data.digest,
        "rows": {"train": len(done.fitted), "test": len(done.held_out)},
        "prevalence": float(done.labels.mean()),
    }


def _of_the_fitted(done: Training, content: bytes | None, seed: int) -> dict[str, Any]:
    """Return what needs the fitted model: what moves its answers, other hospitals."""
    predict = _probabilities(done.model, content)
    known = seen(done.fitted, done.model)
    reference = assessment.reference(predict, known)
    return {
        "seen": known,
        "unseen_pairs": cautions.unseen_pairs(done.fitted, Metadata.of({"seen": known}).seen),
        "reference": reference,
        "importance": assessment.importance(predict, done.held_out, reference),
        "elsewhere": assessment.elsewhere(done.data.elsewhere, predict, seed),
    }


def _probabilities(
    model: StackingClassifier, content: bytes | None
) -> Callable[[pd.DataFrame], Floats]:
    """Return a model's probabilities as a function: those of its ONNX model, which is served."""
    engine: Engine = SklearnEngine(model) if content is None else OnnxEngine(content)

    def predict(patients: pd.DataFrame) -> Floats:
        columns = [patients[name].to_numpy(float) for name in FEATURE_NAMES]
        return np.asarray(batches.score(engine, columns).probabilities, dtype=float)

    return predict


def seen(training: pd.DataFrame, model: StackingClassifier) -> dict[str, dict[str, Any]]:
    """Return, for each feature, what the training rows held and what replaces an unknown value."""
    replaced = estimators.fills(model)
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
