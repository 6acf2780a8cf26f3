"""The metadata of a trained model, from which it is served and described.

Of the 61 patients that are held out of 303 by default, about five are diseased women: too few to
say anything about them. So the groups, the risk bands and the answer to unknown values are
measured on out-of-fold probabilities of all patients, each by a model that has not seen them.
"""

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import StackingClassifier

from clinical.schema import FEATURE_NAMES, FEATURES, LABEL
from risk_model import cautions, patterns, shapley
from risk_model.engines import Engine, OnnxEngine, SklearnEngine, score_many
from risk_model.measurements import Baseline, Histogram
from risk_model.metadata import FORMAT, Metadata
from risk_model.prediction_log import records
from steps.modelling import clinical_metrics, curves, estimators, evaluation
from steps.modelling.metrics import Floats, Labels
from steps.modelling.training import Training
from steps.modelling.validation import OutOfFold

BINS = 10
"""Of a measured feature in the baseline; fewer where many patients have the same value."""
PATTERN_MEASURES = (
    "roc_auc", "brier", "calibration_intercept", "observed_expected", "sensitivity", "specificity",
)  # fmt: skip
"""What is measured while findings are unknown."""


def gather(trained: Training, content: bytes | None) -> Metadata:
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
            "out_of_fold": out_of_fold(data.patients, labels, validated, seed),
            "unknown_patterns": unknown_patterns(features, labels, validated, seed),
            "refits": trained.refits,
            "risk_bands": clinical_metrics.bands(labels, validated.probabilities),
            **_of_the_fitted(trained, content, seed),
            "baseline": baseline(trained.features, validated.probabilities),
        }
    )


def out_of_fold(
    patients: pd.DataFrame, y: Labels, validated: OutOfFold, seed: int
) -> dict[str, Any]:
    """Return counts and measures of all patients and of each group, and curves."""
    p = validated.probabilities
    return {
        "patients": len(y),
        "diseased": int(y.sum()),
        "metrics": clinical_metrics.with_intervals(y, p, seed),
        "groups": clinical_metrics.by_group(patients, y, p, seed),
        **curves.as_json(y, p, seed),
        "case_mix": evaluation.case_mix(patients),
    }


def unknown_patterns(
    features: pd.DataFrame, y: Labels, validated: OutOfFold, seed: int
) -> list[dict[str, Any]]:
    """Return measures by pattern of unknown findings, on the patients whose others are known.

    A pattern that too few know enough for is left out.
    """
    members = patterns.within(patterns.of_rows(features.to_numpy(float)))
    chosen = [(y[rows], p[rows]) for rows, p in zip(members, validated.masked, strict=True)]
    return [
        {
            "unknown": patterns.unknown(number),
            "patients": len(labels),
            "metrics": clinical_metrics.with_intervals(labels, p, seed, PATTERN_MEASURES),
            "risk_bands": clinical_metrics.bands(labels, p),
            "histogram": curves.histogram(labels, p),
        }
        for number, (labels, p) in enumerate(chosen)
        if clinical_metrics.enough(labels)
    ]


def baseline(fitted: pd.DataFrame, probabilities: Floats) -> Baseline:
    """Return what a model's patients were like, in bins that hold about as many of them each.

    The probabilities are out of fold, as new patients' would be.
    """
    features = {f.name: histogram(fitted[f.name].to_numpy(float), tuple(f.codes)) for f in FEATURES}
    return Baseline(
        log_schema=records.SCHEMA,
        patients=len(fitted),
        features=features,
        probability=histogram(probabilities),
    )


def histogram(values: Floats, codes: tuple[int, ...] = ()) -> Histogram:
    """Return counts of values in bins: of codes, or of as many values each."""
    present = values[~np.isnan(values)]
    ends = np.unique(np.quantile(present, np.arange(1, BINS) / BINS)) if len(present) else present
    edges = tuple(ends[ends > present.min(initial=np.inf)].tolist())
    empty = (0,) * (len(codes) or len(edges) + 1)
    bins = Histogram(counts=empty, **({"codes": codes} if codes else {"edges": edges}))
    counts, missing = records.count(bins, values)
    return bins.model_copy(update={"counts": tuple(counts.tolist()), "missing": missing})


def _of_the_fitted(trained: Training, content: bytes | None, seed: int) -> dict[str, Any]:
    """Return what needs the fitted model: what moves its answers, other hospitals."""
    # Of its ONNX model, which is what is served.
    engine: Engine = SklearnEngine(trained.model) if content is None else OnnxEngine(content)

    def predict(rows: Floats) -> Floats:
        return np.asarray(score_many(engine, rows.T).probabilities)

    ranges, names = seen(trained.features, trained.model), list(FEATURE_NAMES)
    typical = {name: values["fill"] for name, values in ranges.items()}
    return {
        "seen": ranges,
        "unseen_pairs": cautions.unseen_pairs(trained.features, Metadata.of({"seen": ranges}).seen),
        **explanations(predict, trained.held_out[names], typical),
        "elsewhere": [
            evaluation.describe(one, predict(one.patients[names].to_numpy(float)), seed)
            for one in trained.data.elsewhere
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


def explanations(
    predict: shapley.Predict, features: pd.DataFrame, typical: dict[str, float]
) -> dict[str, Any]:
    """Return the reference patient of explanations, and how far each feature moves others from it.

    The reference has a `typical` value of each feature, and is nobody's record; moved is the
    probability, in the mean.
    """
    values = np.array([typical[name] for name in FEATURE_NAMES])
    moved = shapley.importance(predict, features.to_numpy(float), values)
    named = dict(zip(FEATURE_NAMES, values.tolist(), strict=True))
    return {
        "reference": {"values": named, "probability": float(predict(values[np.newaxis])[0])},
        "importance": dict(zip(FEATURE_NAMES, moved.tolist(), strict=True)),
    }
