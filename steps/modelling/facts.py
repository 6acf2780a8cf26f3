"""What is known about a trained model: its metadata, from which it is served and described."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import StackingClassifier

from clinical.hospitals import Cohort
from clinical.schema import FEATURE_NAMES, FEATURES, LABEL
from risk_model import cautions, model
from risk_model.engines import Engine, OnnxEngine, SklearnEngine
from risk_model.measurements import Baseline, Histogram
from risk_model.metadata import FORMAT, Base, Git, Metadata, Origin
from risk_model.prediction_log import records
from steps.modelling import assessment, clinical_metrics, estimators
from steps.modelling.metrics import Floats, Labels
from steps.modelling.validation import OutOfFold

Parameters = Mapping[str, str | int | float]

BINS = 10
"""Of a measured feature in the baseline; fewer where many patients have the same value."""


@dataclass(frozen=True)
class Input:
    """What a model is trained and tried on: prepared patients, and those of other hospitals.

    Parameters
    ----------
    data : str
        What names them to `train`: the id of a preprocess run, or a path.
    source, digest : str
        The value of ``data.source``, and the SHA-256 of the patients' file.
    origins : sequence of Origin
        Where they come from, if from several files.
    """

    patients: pd.DataFrame
    data: str
    source: str
    digest: str
    elsewhere: list[Cohort]
    origins: Sequence[Origin] = ()


@dataclass(frozen=True)
class Training:
    """A training that is done: what it was given, and what came of it.

    Parameters
    ----------
    labels : array of int, shape (n_patients,)
        Of all patients.
    fitted, held_out : DataFrame
        The features that it was fitted on, and those that it was not.
    measures : dict of str to float
        Its figures on the held-out patients, and by cross-validation.
    refits : dict or None
        What `validation.refit_ranges` found; None for an update.
    base : Base or None
        The model that it is an update of.
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
    refits: dict[str, Any] | None
    base: Base | None = None


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
            "data": {
                "source": done.data.source,
                "digest": done.data.digest,
                "rows": {"train": len(done.fitted), "test": len(done.held_out)},
                "prevalence": float(labels.mean()),
                **({"origins": tuple(done.data.origins)} if done.data.origins else {}),
            },
            # Such as the precision of a model that says nobody is ill.
            "metrics": {k: v for k, v in done.measures.items() if math.isfinite(v)},
            "out_of_fold": assessment.out_of_fold(patients, labels, validated, seed),
            "unknown_patterns": assessment.unknown_patterns(
                patients[list(FEATURE_NAMES)], labels, validated, seed
            ),
            "refits": done.refits,
            "risk_bands": clinical_metrics.bands(labels, validated.probabilities),
            **_of_the_fitted(done, content, seed),
            "baseline": baseline(done.fitted, validated.probabilities),
            "base": done.base,
            "git": git,
            "repository": repository,
        }
    )


def baseline(fitted: pd.DataFrame, probabilities: Floats) -> Baseline:
    """Return what a model's patients were like, in bins that hold about as many of them each.

    The probabilities are out of fold, as new patients' would be.
    """
    features = {
        feature.name: histogram(fitted[feature.name].to_numpy(float), tuple(feature.codes))
        for feature in FEATURES
    }
    return Baseline(
        log_schema=records.SCHEMA,
        patients=len(fitted),
        features=features,
        probability=histogram(probabilities),
    )


def histogram(values: Floats, codes: tuple[int, ...] = ()) -> Histogram:
    """Return counts of values in bins: of codes, or of as many values each."""
    known = values[~np.isnan(values)]
    ends = np.unique(np.quantile(known, np.arange(1, BINS) / BINS)) if len(known) else known
    edges = tuple(ends[ends > known.min(initial=np.inf)].tolist())
    bins = (
        Histogram(codes=codes, counts=(0,) * len(codes))
        if codes
        else Histogram(edges=edges, counts=(0,) * (len(edges) + 1))
    )
    counts, missing = records.count(bins, values)
    return bins.model_copy(update={"counts": tuple(counts.tolist()), "missing": missing})


def _of_the_fitted(done: Training, content: bytes | None, seed: int) -> dict[str, Any]:
    """Return what needs the fitted model: what moves its answers, other hospitals."""
    # Of its ONNX model, which is what is served.
    engine: Engine = SklearnEngine(done.model) if content is None else OnnxEngine(content)
    predict = model.Model(engine, model.Origin(), Metadata()).probabilities
    known = seen(done.fitted, done.model)
    reference = assessment.reference(predict, known)
    return {
        "seen": known,
        "unseen_pairs": cautions.unseen_pairs(done.fitted, Metadata.of({"seen": known}).seen),
        "reference": reference,
        "importance": assessment.importance(predict, done.held_out, reference),
        "elsewhere": assessment.elsewhere(done.data.elsewhere, predict, seed),
    }


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
