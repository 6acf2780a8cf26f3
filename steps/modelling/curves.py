"""Curves with their 95 % intervals: calibration, and net benefit over the threshold."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import SplineTransformer

from steps.modelling import clinical_metrics, metrics
from steps.modelling.logistic import log_odds
from steps.modelling.metrics import Floats, Labels

POINTS = 41
BINS = 20
THRESHOLDS = np.linspace(0.02, 0.98, 49)
ENOUGH_TO_BEND = 50
"""With fewer patients of either outcome, the calibration curve is a straight line in log-odds."""


@dataclass(frozen=True)
class Curve:
    """Values over `x`, with the ends of their intervals; arrays of one shape."""

    x: Floats
    middle: Floats
    low: Floats
    high: Floats


def calibration(y: Labels, p: Floats) -> Curve | None:
    """Return the observed share of disease over the predicted probability, as a smooth curve.

    A logistic regression of the outcome on a quadratic spline of the predicted log-odds, with
    pointwise intervals; None where all probabilities are the same.

    References
    ----------
    Austin, Steyerberg: Graphical assessment of internal and external calibration of logistic
    regression models. Statistics in Medicine 2014. https://doi.org/10.1002/sim.5941
    """
    z = log_odds(p)
    bends = int(np.bincount(y, minlength=2).min()) >= ENOUGH_TO_BEND
    knots = np.unique(np.quantile(z, [0.1, 0.5, 0.9] if bends else [0, 1]))
    if len(knots) < 2 or np.ptp(p) == 0:
        return None
    degree = 2 if len(knots) > 2 else 1
    spline = SplineTransformer(degree=degree, knots=knots[:, np.newaxis], extrapolation="linear")
    rows = spline.fit_transform(z[:, np.newaxis])
    # The columns of a spline add up to 1, so that they hold the intercept.
    model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-6, max_iter=1000).fit(rows, y)
    expected = model.predict_proba(rows)[:, 1]
    covariance = np.linalg.pinv(rows.T @ (rows * (expected * (1 - expected))[:, np.newaxis]))
    x = np.linspace(p.min(), p.max(), POINTS)
    basis = spline.transform(log_odds(x)[:, np.newaxis])
    middle = basis @ model.coef_[0]
    reach = 1.96 * np.sqrt(np.einsum("ij,jk,ik->i", basis, covariance, basis))
    return Curve(x, *(expit(line) for line in (middle, middle - reach, middle + reach)))


def histogram(y: Labels, p: Floats) -> dict[str, list[int]]:
    """Return how many patients of each outcome got a probability in each of 20 equal bins."""
    return {str(label): np.histogram(p[y == label], BINS, (0, 1))[0].tolist() for label in (0, 1)}


def as_json(y: Labels, p: Floats, seed: int) -> dict[str, object]:
    """Return calibration and decision curves as a stored model carries them."""
    curve = calibration(y, p)
    return {
        "calibration": {"curve": curve and _rounded(curve), "histogram": histogram(y, p)},
        "decision": {strategy: _rounded(one) for strategy, one in decision(y, p, seed).items()},
    }


def _rounded(curve: Curve) -> dict[str, list[float]]:
    return {name: values.round(4).tolist() for name, values in vars(curve).items()}


def decision(y: Labels, p: Floats, seed: int) -> dict[str, Curve]:
    """Return the net benefit over THRESHOLDS of treating by the `model`, and of treating `all`."""
    return {"model": _net_benefits(y, p, seed), "all": _net_benefits(y, np.ones(len(y)), seed)}


def _net_benefits(y: Labels, p: Floats, seed: int) -> Curve:
    def measure(y: Labels, p: Floats, weights: Floats) -> dict[str, Floats]:
        return {str(at): clinical_metrics.net_benefit(y, p, at, weights) for at in THRESHOLDS}

    figures = list(metrics.with_intervals(y, p, seed, measure).values())
    return Curve(THRESHOLDS, *np.reshape(figures, (len(THRESHOLDS), 3)).T)
