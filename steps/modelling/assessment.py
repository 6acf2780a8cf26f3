"""Measures of a model in training besides its held-out figures, as JSON can hold them.

Of the 61 patients that are held out of 303 by default, about five are diseased women: too few to
say anything about them. So the groups, the risk bands and the answer to unknown values
are measured on out-of-fold probabilities of all patients, each by a model that has not seen them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from clinical.hospitals import Cohort
from clinical.schema import FEATURE_NAMES, FEATURES, LABEL
from risk_model import patterns, shapley
from steps.modelling import clinical_metrics, curves, metrics, validation

LOPSIDED = 0.9
PATTERN_MEASURES = (
    "roc_auc", "brier", "calibration_intercept", "observed_expected", "sensitivity", "specificity",
)  # fmt: skip
"""What is measured while findings are unknown."""


def out_of_fold(
    patients: pd.DataFrame, y: metrics.Labels, validated: validation.OutOfFold, seed: int
) -> dict[str, Any]:
    """Return counts and measures of all patients and of each group, and curves."""
    p = validated.probabilities
    return {
        "patients": len(y),
        "diseased": int(y.sum()),
        "metrics": clinical_metrics.with_intervals(y, p, seed),
        "groups": clinical_metrics.by_group(patients, y, p, seed),
        **curves.as_json(y, p, seed),
        "case_mix": case_mix(patients),
    }


def case_mix(patients: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return, for each feature, the share that is unknown, and the quartiles or shares of codes."""
    summaries: dict[str, dict[str, Any]] = {}
    for feature in FEATURES:
        values = patients[feature.name].dropna()
        summary: dict[str, Any] = {"missing": float(patients[feature.name].isna().mean())}
        if feature.codes and len(values):
            summary["shares"] = {str(c): float((values == c).mean()) for c in feature.codes}
        elif len(values):
            quartiles = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
            summary |= dict(zip(("q1", "median", "q3"), quartiles, strict=True))
        summaries[feature.name] = summary
    return summaries


def unknown_patterns(
    features: pd.DataFrame, y: metrics.Labels, validated: validation.OutOfFold, seed: int
) -> list[dict[str, Any]]:
    """Return measures by pattern of unknown findings, on the patients whose others are known.

    A pattern that too few know enough for is left out.
    """
    members = patterns.within(patterns.of_rows(features.to_numpy(float)))
    measured = []
    for number, (p, chosen) in enumerate(zip(validated.masked, members, strict=True)):
        labels = y[chosen]
        if clinical_metrics.enough(labels):
            names = PATTERN_MEASURES
            measured.append(
                {
                    "unknown": patterns.unknown(number),
                    "patients": len(labels),
                    "metrics": clinical_metrics.with_intervals(labels, p[chosen], seed, names),
                    "risk_bands": clinical_metrics.bands(labels, p[chosen]),
                    "histogram": curves.histogram(labels, p[chosen]),
                }
            )
    return measured


def cohort(one: Cohort, p: metrics.Floats, seed: int) -> dict[str, Any]:
    """Return a description of a cohort, and how well probabilities fit it.

    Where nearly everybody has the same outcome, whoever says it of all is nearly always right: only
    the ranking and the calibration are measured there.
    """
    y = one.patients[LABEL.name].to_numpy(np.int8)
    share = float(y.mean())
    lopsided = not 1 - LOPSIDED <= share <= LOPSIDED
    names = clinical_metrics.RANKING if lopsided else clinical_metrics.NAMES
    return {
        "site": one.site,
        "title": one.title,
        "read": one.read,
        "patients": len(y),
        "diseased": int(y.sum()),
        "prevalence": share,
        "missing": one.missing,
        "mostly_missing": one.mostly_missing,
        "lopsided": lopsided,
        "metrics": clinical_metrics.with_intervals(y, p, seed, names),
        "risk_bands": clinical_metrics.bands(y, p),
        "case_mix": case_mix(one.patients),
    }


def reference(predict: shapley.Predict, seen: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the reference patient of explanations.

    A typical value of each feature, all of them known; not a real patient's record.
    """
    values = {name: float(seen[name]["fill"]) for name in FEATURE_NAMES}
    probabilities = predict(np.array([list(values.values())]))
    return {"values": values, "probability": float(probabilities[0])}


def importance(
    predict: shapley.Predict, features: pd.DataFrame, compared: dict[str, Any]
) -> dict[str, float]:
    """Return how far each feature moves a patient's probability from the reference, in the mean."""
    values = np.array([compared["values"][feature.name] for feature in FEATURES])
    moved = shapley.importance(predict, features.to_numpy(float), values)
    return dict(zip(FEATURE_NAMES, moved.tolist(), strict=True))
