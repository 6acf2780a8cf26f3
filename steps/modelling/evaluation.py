"""A model measured on cohorts of patients: its probabilities, and how well they fit."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from clinical.hospitals import Cohort
from clinical.schema import FEATURE_NAMES, FEATURES, LABEL
from steps.modelling import clinical_metrics, estimators, metrics, validation
from steps.parameters.entry_points import CALIBRATIONS, RECALIBRATED

LOPSIDED = 0.9


@dataclass(frozen=True)
class Measured:
    """A cohort with the probabilities of its patients; `summary` is that of `describe`."""

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
    summary = describe(cohort, p, seed)
    if not summary["lopsided"]:
        summary["groups"] = clinical_metrics.by_group(cohort.patients, y, p, seed)
    return Measured(cohort.patients, y, p, summary, [note] if note else [])


def describe(cohort: Cohort, p: metrics.Floats, seed: int) -> dict[str, Any]:
    """Return a cohort's counts, case mix, and how well probabilities fit it, as JSON can hold them.

    Where nearly everybody has the same outcome, whoever says it of all is nearly always right: only
    the ranking and the calibration are measured there.
    """
    y = cohort.patients[LABEL.name].to_numpy(np.int8)
    share = float(y.mean())
    lopsided = not 1 - LOPSIDED <= share <= LOPSIDED
    names = clinical_metrics.RANKING if lopsided else clinical_metrics.NAMES
    return {
        "site": cohort.site,
        "title": cohort.title,
        "read": cohort.read,
        "patients": len(y),
        "diseased": int(y.sum()),
        "prevalence": share,
        "missing": cohort.missing,
        "mostly_missing": cohort.mostly_missing,
        "lopsided": lopsided,
        "metrics": clinical_metrics.with_intervals(y, p, seed, names),
        "risk_bands": clinical_metrics.bands(y, p),
        "case_mix": case_mix(cohort.patients),
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


def refitted(
    parameters: dict[str, Any], training: pd.DataFrame, cohort: Cohort, seed: int
) -> dict[str, Any] | None:
    """Return how the model would do, had it been trained without what a cohort mostly lacks.

    A feature that is unknown in every training row carries nothing. None for an update of another
    model, which is not fitted.
    """
    if parameters.get("model") == RECALIBRATED:
        return None
    hidden = dict.fromkeys(cohort.mostly_missing, np.nan)
    x, y = estimators.columns(training)
    model = estimators.from_recorded(parameters).fit(x.assign(**hidden), y)
    p = model.predict_proba(cohort.patients[list(FEATURE_NAMES)].assign(**hidden))[:, 1]
    return {"without": cohort.mostly_missing, "metrics": describe(cohort, p, seed)["metrics"]}


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
