"""What cards, reports and pages call measures, models and sources, and how they write figures."""

import math
from collections.abc import Iterable, Mapping

from clinical.schema import FEATURES
from risk_model.card.studies import STUDIES
from risk_model.metadata import Metadata

Measures = Mapping[str, float | None]
"""Figures by name, with the ends of their intervals; None where undefined."""

MEASURES = {
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "brier": "Brier score",
    "log_loss": "log-loss",
    "accuracy": "accuracy",
    "calibration_intercept": "calibration intercept",
    "observed_expected": "observed / expected",
    "calibration_slope": "calibration slope",
    "sensitivity": "sensitivity at 0.5",
    "specificity": "specificity at 0.5",
    "net_benefit_10": "net benefit at 10 %",
    "net_benefit_20": "net benefit at 20 %",
    "net_benefit_30": "net benefit at 30 %",
    "net_benefit_50": "net benefit at 50 %",
}
MODELS = {
    "random_forest": "random forest",
    "extra_trees": "extremely randomised trees",
    "logistic_regression": "logistic regression",
    "hist_gradient_boosting": "histogram gradient boosting",
    "recalibrated": "recalibrated model",
}
POPULATIONS = {
    "uci": (
        "adults whom a physician had referred for coronary angiography, at the Cleveland Clinic "
        f"from {STUDIES[0].first} to {STUDIES[0].last}"
    ),
    "synthetic": "generated patients",
    "file": "the patients of a file that its user supplied",
}
"""Whom a model was trained on, by the source of its data."""

HEADLINE = (
    "roc_auc", "brier", "observed_expected", "calibration_slope", "sensitivity", "specificity",
)  # fmt: skip
"""The measures that are shown first."""

READING = (
    "ROC AUC: how often a patient with the disease gets a higher probability than one without. "
    "Brier score: mean squared error of the probabilities; lower is better. Calibration intercept: "
    "0 is right; above 0 the probabilities are too low on the whole. Observed / expected: patients "
    "with the disease, for each that the probabilities add up to; 1 is right. Calibration slope: 1 "
    "is right; below 1 the probabilities are too extreme, above 1 too close to the middle. Net "
    "benefit: true positives less false ones weighed by the odds of the threshold, per patient."
)
SYNTHETIC = (
    "SYNTHETIC patients, drawn from figures that resemble the Cleveland cohort. No real patient "
    "was seen: this model is a demonstration, and its figures say nothing about patients."
)


def population(metadata: Metadata) -> str:
    """Return a sentence on a model's training patients and how many had the disease."""
    people = POPULATIONS.get(metadata.source, "patients of whom nothing is known")
    share = metadata.data.prevalence if metadata.data else None
    diseased = "" if share is None else f"; {percent(share)} of them had the disease"
    return f"The model knows {people}{diseased}."


def why_low(metadata: Metadata) -> str:
    """Return, as a sentence, how high the lowest band reaches and why, where there are bands."""
    if len(metadata.bands) == 1:
        return ""
    (level, _), (_, end), *_ = metadata.bands
    share = metadata.data.prevalence if metadata.data else None
    many = "so many" if share is None else percent(share)
    return (
        f"{level} reaches up to {percent(end)} because {many} of these patients had the disease: "
        "it is low among them, does not rule out disease, and no band is a threshold for treatment."
    )


def between(metrics: Measures, name: str, digits: int = 3) -> str:
    """Return a measure with its 95 % interval, a dash where it was not taken."""
    if name not in metrics:
        return "-"
    value = metrics[name]
    if value is None or not math.isfinite(value):
        return "undefined"
    low, high = (metrics.get(f"{name}_{end}") for end in ("ci_low", "ci_high"))
    if low is None or high is None:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def percent(share: float | None, digits: int = 0) -> str:
    """Return a share in percent."""
    return "undefined" if share is None else f"{100 * share:.{digits}f} %"


def number(value: float | None, digits: int = 2) -> str:
    """Return a figure on its own, rounded."""
    return "undefined" if value is None else f"{value:.{digits}f}"


def share(estimate: Mapping[str, float]) -> str:
    """Return an observed share with its interval, in percent."""
    low, high = 100 * estimate["share_ci_low"], 100 * estimate["share_ci_high"]
    return f"{percent(estimate['share'])} ({low:.0f} to {high:.0f} %)"


def titles(names: Iterable[str]) -> str:
    """Return findings as they stand within a sentence, each with its name in brackets."""
    inline = {feature.name: feature.inline for feature in FEATURES}
    return " and ".join(f"{inline[name]} ({name})" for name in names)


def in_clinical_terms(metrics: Measures) -> dict[str, float | None]:
    """Return measures with the recall of the diseased under the name that clinicians use."""
    recalls = {k.replace("recall", "sensitivity"): v for k, v in metrics.items() if "recall" in k}
    return {**metrics, **recalls}


def comparison(columns: Mapping[str, Measures]) -> list[str]:
    """Return the measures of HEADLINE as lines of a terminal, a column for each set of figures."""
    lines = [f"  {'':<20} " + " ".join(f"{title:<22}" for title in columns).rstrip()]
    named = [in_clinical_terms(metrics) for metrics in columns.values()]
    for name in HEADLINE:
        cells = " ".join(f"{between(metrics, name):<22}" for metrics in named)
        lines.append(f"  {MEASURES[name]:<20} {cells}".rstrip())
    return lines


def in_brief(metrics: Measures) -> str:
    """Return the leading figures with their intervals, as part of a sentence."""
    names = [name for name in ("roc_auc", "brier") if name in metrics]
    return ", ".join(f"{MEASURES[name]} {between(metrics, name)}" for name in names)


def described(measured: Mapping[str, Measures]) -> str:
    """Return how good a model is in two sentences; see `Metadata.measured`."""
    validated, held_out = map(in_brief, measured.values())
    return f"Cross-validated: {validated}. Held out, as a check: {held_out}."
