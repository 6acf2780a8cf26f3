"""The metadata of a trained model, from which it is served and described."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import StackingClassifier

from clinical.schema import FEATURE_NAMES, FEATURES, LABEL
from risk_model import cautions
from risk_model.engines import Engine, OnnxEngine, SklearnEngine
from risk_model.measurements import Baseline, Histogram
from risk_model.metadata import FORMAT, Metadata
from risk_model.model import Model, Origin
from risk_model.prediction_log import records
from steps.modelling import assessment, clinical_metrics, estimators, metrics, training

BINS = 10
"""Of a measured feature in the baseline; fewer where many patients have the same value."""


def gather(trained: training.Training, content: bytes | None) -> Metadata:
    """Return the metadata of a trained model: what its service, the gate and its card need.

    `content` is its ONNX model, as ``onnx_export.convert`` gives it. Which run and which sources
    have trained it, and what it is an update of, is left to the caller.
    """
    data, validated, seed = trained.data, trained.validated, trained.given.random_state
    features, labels = estimators.columns(data.patients)
    return Metadata.of(
        {
            "format": FORMAT,
            "name": trained.given.model,
            "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "label": LABEL.definition,
            "parameters": vars(trained.given),
            "data": {
                "source": data.source,
                "digest": data.digest,
                "rows": {"train": len(trained.fitting), "test": len(trained.held_out)},
                "prevalence": float(labels.mean()),
                **({"origins": data.origins} if data.origins else {}),
            },
            # Undefined is, for instance, the precision of a model that predicts no disease.
            "metrics": {k: v for k, v in trained.measures.items() if math.isfinite(v)},
            "out_of_fold": assessment.out_of_fold(data.patients, labels, validated, seed),
            "unknown_patterns": assessment.unknown_patterns(features, labels, validated, seed),
            "refits": trained.refits,
            "risk_bands": clinical_metrics.bands(labels, validated.probabilities),
            **_of_the_fitted(trained, content, seed),
            "baseline": baseline(trained.features, validated.probabilities),
        }
    )


def baseline(fitted: pd.DataFrame, probabilities: metrics.Floats) -> Baseline:
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


def histogram(values: metrics.Floats, codes: tuple[int, ...] = ()) -> Histogram:
    """Return counts of values in bins: of codes, or of as many values each."""
    present = values[~np.isnan(values)]
    ends = np.unique(np.quantile(present, np.arange(1, BINS) / BINS)) if len(present) else present
    edges = tuple(ends[ends > present.min(initial=np.inf)].tolist())
    bins = (
        Histogram(codes=codes, counts=(0,) * len(codes))
        if codes
        else Histogram(edges=edges, counts=(0,) * (len(edges) + 1))
    )
    counts, missing = records.count(bins, values)
    return bins.model_copy(update={"counts": tuple(counts.tolist()), "missing": missing})


def _of_the_fitted(trained: training.Training, content: bytes | None, seed: int) -> dict[str, Any]:
    """Return what needs the fitted model: what moves its answers, other hospitals."""
    # Of its ONNX model, which is what is served.
    engine: Engine = SklearnEngine(trained.model) if content is None else OnnxEngine(content)
    predict = Model(engine, Origin(), Metadata()).probabilities

    def of_rows(rows: metrics.Floats) -> metrics.Floats:
        return predict(pd.DataFrame(rows, columns=list(FEATURE_NAMES)))

    ranges = seen(trained.features, trained.model)
    reference = assessment.reference(of_rows, ranges)
    checked, _ = estimators.columns(trained.held_out)
    return {
        "seen": ranges,
        "unseen_pairs": cautions.unseen_pairs(trained.features, Metadata.of({"seen": ranges}).seen),
        "reference": reference,
        "importance": assessment.importance(of_rows, checked, reference),
        "elsewhere": [
            assessment.cohort(one, predict(one.patients), seed) for one in trained.data.elsewhere
        ],
    }


def seen(fitted: pd.DataFrame, model: StackingClassifier) -> dict[str, dict[str, Any]]:
    """Return, for each feature, what the training rows held and what replaces an unknown value."""
    replaced = estimators.fills(model)
    ranges: dict[str, dict[str, Any]] = {}
    for feature in FEATURES:
        values = fitted[feature.name].dropna()
        if feature.codes:
            held: dict[str, Any] = {"codes": sorted({int(code) for code in values})}
        else:
            # JSON has no NaN: a feature that is always unknown has no range.
            held = {"low": float(values.min()), "high": float(values.max())} if len(values) else {}
        ranges[feature.name] = held | {"fill": replaced[feature.name]}
    return ranges
