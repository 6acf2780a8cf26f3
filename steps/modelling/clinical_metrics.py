"""Clinical measures of probabilities: calibration, net benefit, and groups of patients.

The core measures of Van Calster et al. (2025), https://arxiv.org/abs/2412.10288.
"""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from clinical.schema import FEATURES
from risk_model.bands import RISK_BANDS, risk_levels
from risk_model.measurements import Observed
from steps.modelling import metrics
from steps.modelling.logistic import fit_lines, log_odds
from steps.modelling.metrics import THRESHOLD, Floats, Labels, Mask

NET_BENEFIT_AT = (0.1, 0.2, 0.3, 0.5)
"""The risks at which somebody might act, at which the net benefit is stated."""

NAMES = (
    "roc_auc", "pr_auc", "brier", "log_loss", "calibration_slope", "calibration_intercept",
    "observed_expected", "sensitivity", "specificity",
    *(f"net_benefit_{round(100 * at)}" for at in NET_BENEFIT_AT),
)  # fmt: skip
COMPARED = (
    "roc_auc", "brier", "calibration_intercept", "calibration_slope", "observed_expected",
    "sensitivity", "specificity",
)  # fmt: skip
"""The few of them by which a person compares models: what MLflow's pages show."""
RANKING = ("roc_auc", "calibration_slope", "calibration_intercept", "observed_expected")
"""The measures of a site where nearly all are ill, so that every threshold would flatter."""

SMALLEST_GROUP = 10
"""With fewer patients than this of either class, a group has no measures."""

AGES = {"under 50": (0, 50), "50 to 59": (50, 60), "60 and over": (60, np.inf)}


def scores(
    y: Labels, p: Floats, weights: Floats | None = None, names: tuple[str, ...] = NAMES
) -> dict[str, Floats]:
    """Return some of NAMES for many weightings at once, as ``metrics.scores`` does.

    The calibration slope says whether the probabilities are spread as far as they should be: below
    1 they are too extreme, above 1 too timid. With a slope of 1, the intercept says whether they
    are too low (above 0) or too high on the whole. NaN where the fit does not converge.

    References
    ----------
    Cox: Two further applications of a model for binary regression. Biometrika 1958.
    https://doi.org/10.1093/biomet/45.3-4.562
    """
    w = np.ones((1, len(y))) if weights is None else weights
    measures = metrics.scores(y, p, w)
    # These two take long.
    if "calibration_slope" in names:
        measures["calibration_slope"] = fit_lines(log_odds(p), y, w)[1]
    if "calibration_intercept" in names:
        measures["calibration_intercept"] = fit_lines(log_odds(p), y, w, fixed=True)[0]
    measures["sensitivity"] = measures["recall"]
    with np.errstate(divide="ignore", invalid="ignore"):
        measures["observed_expected"] = (w @ y) / (w @ p)
        measures["specificity"] = w @ ((p < THRESHOLD) & (y == 0)) / (w @ (y == 0))
    for at in NET_BENEFIT_AT:
        measures[f"net_benefit_{round(100 * at)}"] = net_benefit(y, p, at, w)
    return {name: measures[name] for name in names}


def net_benefit(y: Labels, p: Floats, threshold: float, weights: Floats) -> Floats:
    """Return the net benefit of acting from a threshold on.

    True positives less false positives, weighed by the odds of the threshold, as a share of all
    patients. Acting on everybody is the same with p = 1, acting on nobody is 0.

    References
    ----------
    Vickers, Elkin: Decision curve analysis. Medical Decision Making 2006.
    https://doi.org/10.1177/0272989X06295361
    """
    treated = p >= threshold
    true, false = weights @ (treated & (y == 1)), weights @ (treated & (y == 0))
    return np.asarray((true - false * threshold / (1 - threshold)) / weights.sum(axis=1))


def with_intervals(
    y: Labels, p: Floats, seed: int, names: tuple[str, ...] = NAMES
) -> dict[str, float]:
    """Return measures and their 95 % bootstrap intervals, by metric name."""
    return metrics.with_intervals(y, p, seed, partial(scores, names=names))


def enough(y: Labels) -> bool:
    """Return whether a group has enough patients of both classes to be measured."""
    return int(np.bincount(y, minlength=2).min()) >= SMALLEST_GROUP


def groups(patients: pd.DataFrame) -> dict[str, Mask]:
    """Return the members of each group of patients: the two sexes, and bands of age."""
    sex = next(feature for feature in FEATURES if feature.name == "sex")
    age = patients["age"].to_numpy(float)
    return {
        **{word: patients["sex"].to_numpy() == code for code, word in sex.codes.items()},
        **{f"age {band}": (age >= low) & (age < high) for band, (low, high) in AGES.items()},
    }


def by_group(patients: pd.DataFrame, y: Labels, p: Floats, seed: int) -> list[dict[str, Any]]:
    """Return counts and measures of each group; `metrics` is None where it is too small."""
    chosen = {name: (y[members], p[members]) for name, members in groups(patients).items()}
    return [
        {
            "group": name,
            "patients": len(labels),
            "diseased": int(labels.sum()),
            "metrics": with_intervals(labels, predicted, seed) if enough(labels) else None,
            "risk_bands": bands(labels, predicted),
        }
        for name, (labels, predicted) in chosen.items()
    ]


def bands(y: Labels, p: Floats) -> list[dict[str, Any]]:
    """Return each risk band with how many patients fell into it, and how many of them were ill."""
    places = risk_levels(RISK_BANDS, p)
    labels = [y[places == place] for place in range(len(RISK_BANDS))]
    observed = [Observed.of(len(each), int(each.sum())).model_dump() for each in labels]
    return [
        {"level": level, "from": start, "observed": seen}
        for (level, start), seen in zip(RISK_BANDS, observed, strict=True)
    ]
