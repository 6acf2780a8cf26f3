"""A model measured on cohorts of patients: its probabilities, and how well they fit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from clinical.hospitals import Cohort
from clinical.schema import FEATURE_NAMES, LABEL
from steps.modelling import assessment, clinical_metrics, estimators, metrics, validation
from steps.parameters.entry_points import CALIBRATIONS, RECALIBRATED


@dataclass(frozen=True)
class Measured:
    """A cohort with the probabilities of its patients; `summary` has counts and measures as JSON.

    See `assessment.cohort`, and `groups`.
    """

    patients: pd.DataFrame
    y: metrics.Labels
    p: metrics.Floats
    summary: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    @property
    def site(self) -> str:
        """The cohort's name in metrics."""
        return str(self.summary["site"])

    @property
    def compared(self) -> dict[str, float | None]:
        """The few figures by which cohorts and models are compared; `summary` has the rest."""
        measures = self.summary["metrics"]
        return {name: measures[name] for name in clinical_metrics.COMPARED if name in measures}


def measure(cohort: Cohort, p: metrics.Floats, seed: int, note: str = "") -> Measured:
    """Measure probabilities of a cohort, over all and, unless it is lopsided, by group."""
    y = cohort.patients[LABEL.name].to_numpy(np.int8)
    summary = assessment.cohort(cohort, p, seed)
    if not summary["lopsided"]:
        summary["groups"] = clinical_metrics.by_group(cohort.patients, y, p, seed)
    return Measured(cohort.patients, y, p, summary, [note] if note else [])


def refitted(
    parameters: dict[str, Any], training: pd.DataFrame, cohort: Cohort, seed: int
) -> dict[str, Any] | None:
    """Return how the model would do, had it been trained without what a cohort mostly lacks.

    A feature that is unknown in every training row carries nothing.
    """
    lacking = cohort.mostly_missing
    if not lacking or parameters.get("model") == RECALIBRATED:
        return None
    hidden = dict.fromkeys(lacking, np.nan)
    x, y = estimators.columns(training)
    recipe = estimators.from_recorded(parameters)
    model = recipe.fit(x.assign(**hidden), y)
    p = model.predict_proba(cohort.patients[list(FEATURE_NAMES)].assign(**hidden))[:, 1]
    measured = assessment.cohort(cohort, p, seed)
    return {"without": lacking, "metrics": measured["metrics"]}


def calibrations(
    parameters: dict[str, Any], patients: pd.DataFrame, seed: int
) -> dict[str, tuple[metrics.Floats, dict[str, float]]]:
    """Return, for each calibration on offer, out-of-fold probabilities and how well they fit.

    None for an update of another model, which has no calibration of its own to choose.
    """
    if parameters.get("model") == RECALIBRATED:
        return {}
    x, y = estimators.columns(patients)
    results = {}
    for name in CALIBRATIONS:
        recipe = estimators.from_recorded(parameters, calibration=name)
        p = validation.cross_validated(recipe, x, y).probabilities
        results[name] = p, clinical_metrics.with_intervals(y, p, seed)
    return results
