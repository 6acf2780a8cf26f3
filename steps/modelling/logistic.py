"""Log-odds, and logistic regressions of one variable, many at once."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

Floats = NDArray[np.float64]

ROUNDS = 60  # of Newton's method, which mostly needs six
STRIDE = 1.0  # the most that one round moves a coefficient, so that it cannot run away


def log_odds(p: Floats, nearest: float = 1e-6) -> Floats:
    """Return the log-odds of probabilities, which are kept so far from 0 and 1: they are finite."""
    return np.asarray(logit(np.clip(p, nearest, 1 - nearest)))


def fit_lines(
    x: Floats, y: NDArray[np.int8], w: Floats, *, fixed: bool = False, penalty: float = 0.0
) -> tuple[Floats, Floats]:
    """Fit log-odds of y = intercept + slope * x by Newton's method, once for each weighting.

    Parameters
    ----------
    x : array of float, shape (n_rows,) or (n_weightings, n_rows)
    w : array of float, shape (n_weightings, n_rows)
        How much each row counts.
    fixed : bool
        Whether the slopes are held at 1.
    penalty : float
        Half of it times the square of the slope is added to the loss; 1 is scikit-learn's default.

    Returns
    -------
    intercepts, slopes : arrays of float, shape (n_weightings,)
        NaN where it does not converge, as for classes that `x` separates perfectly.
    """
    intercept, slope = np.zeros(len(w)), np.full(len(w), float(fixed))
    moved = np.full(len(w), np.inf)
    with np.errstate(all="ignore"):
        for _ in range(ROUNDS):
            expected = expit(intercept[:, np.newaxis] + slope[:, np.newaxis] * x)
            left, information = w * (y - expected), w * expected * (1 - expected)
            g0, h00 = left.sum(axis=1), information.sum(axis=1)
            if fixed:
                step0, step1 = g0 / h00, np.zeros(len(w))
            else:
                g1 = (left * x).sum(axis=1) - penalty * slope
                h01, h11 = (information * x).sum(axis=1), (information * x**2).sum(axis=1) + penalty
                determinant = h00 * h11 - h01**2
                step0 = (h11 * g0 - h01 * g1) / determinant
                step1 = (h00 * g1 - h01 * g0) / determinant
            step0, step1 = np.clip(step0, -STRIDE, STRIDE), np.clip(step1, -STRIDE, STRIDE)
            intercept, slope = intercept + step0, slope + step1
            moved = np.maximum(abs(step0), abs(step1))
            if not (moved > 1e-10).any():
                break
    settled = moved < 1e-6
    return np.where(settled, intercept, np.nan), np.where(settled, slope, np.nan)
