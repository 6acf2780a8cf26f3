"""What cards, reports and pages call measures, models and sources of data, and how they say it.

A figure is always told with its interval, and called undefined where it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

MEASURES = {
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "brier": "Brier score",
    "log_loss": "log-loss",
    "accuracy": "accuracy",
    "calibration_slope": "calibration slope",
    "calibration_intercept": "calibration intercept",
    "observed_expected": "observed / expected",
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
}
SOURCES = {
    "uci": "patients of the Cleveland Clinic (uci)",
    "synthetic": "generated patients (synthetic)",
    "file": "patients of a file that its user supplied",
}
READING = (
    "ROC AUC: how often a patient with the disease gets a "
    "higher probability than one without. Brier score: mean squared error of the probabilities; "
    "lower is better. Calibration slope: 1 is right; below 1 the probabilities are too extreme, "
    "above 1 too timid. Calibration intercept: 0 is right; above 0 they are too low on the whole. "
    "Observed / expected: patients with the disease, for each that the probabilities add up to. "
    "Net benefit: patients with the disease found, less those without it who were "
    "treated as ill, weighed by the odds of the risk from which one acts, per patient."
)
UCI = (
    "303 patients of the Cleveland Clinic Foundation, referred for coronary angiography, 1981 to "
    "1984 (UCI Heart Disease, doi 10.24432/C52P4X, licence CC BY 4.0)."
)
SYNTHETIC = (
    "SYNTHETIC patients, drawn from figures that resemble the Cleveland cohort. No real patient "
    "was seen: this model is a demonstration, and its figures say nothing about patients."
)
FILE = (
    "A file that its user supplied. Where it came from, and under which licence, is for that user "
    "to say."
)
FOR = ("Teaching, and trying out how such a model is built, judged and served.",)
FOR_UCI = (
    "Reading its estimates as those for patients like the ones it learnt from: adults of the 1980s "
    "whom a physician had referred for coronary angiography, with all 13 findings at hand.",
)
NOT_FOR = (
    "Treating anybody, or deciding who is examined: it is no medical device, and nobody has "
    "approved it.",
    "Screening of healthy people: it knows only patients who were already suspected to be ill.",
    "Future risk: it says what an angiogram would show now, not what will happen.",
    "Patients of today, other countries or other tests without checking it on them first.",
)


def between(found: Mapping[str, float | None], name: str, digits: int = 3) -> str:
    """Return a measure with its interval, a dash where it was not taken."""
    value = found.get(name)
    if name not in found:
        return "-"
    if value is None or not math.isfinite(value):
        return "undefined"
    ends = [found.get(f"{name}_{end}") for end in ("ci_low", "ci_high")]
    if None in ends:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} ({ends[0]:.{digits}f} to {ends[1]:.{digits}f})"


def percent(share: float) -> str:
    """Return a share in whole percent."""
    return f"{100 * share:.0f} %"
