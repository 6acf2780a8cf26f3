"""Learning a calibration to observed shares, for each pattern of unknown findings.

Each pattern of unknown findings has a logistic regression of its own on the log-odds that the
pipeline gives with typical values in their place. It is learnt from patients whose findings were
masked, each scored by a pipeline that has not seen them. Where all is known, the calibration that
was chosen holds: another such regression (sigmoid), an isotonic one, or none.

References
----------
Mercaldo, Blume: Missing data and prediction: the pattern submodel. Biostatistics 2020.
https://doi.org/10.1093/biostatistics/kxy040
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from risk_model import patterns
from steps.modelling.logistic import fit_lines
from steps.modelling.metrics import Floats, Labels

FEWEST = 10
"""With fewer patients of either class for a pattern, all patients are used for it."""
NEAREST = 1e-3
"""Probabilities are kept so far from 0 and 1: nearer ones differ between float32 and float64."""
STEPS = 100
"""Into how many equal steps the range of an isotonic calibration is divided."""
PENALTY = 1.0
"""Of a slope, as scikit-learn's own logistic regression has it: nothing runs away."""


@dataclass(frozen=True)
class Calibration:
    """How the probabilities of a pipeline are calibrated for each pattern of unknown findings.

    The calibrated log-odds are ``intercepts[k] + slopes[:, k] @ scores`` for pattern k. The first
    score is the log-odds of the pipeline's probability; where there is an isotonic calibration,
    the second is the log-odds of what that makes of it.
    """

    intercepts: Floats
    slopes: Floats
    isotonic: IsotonicRegression | None = None

    def apply(self, p: Floats, pattern: NDArray[np.intp]) -> Floats:
        """Return the calibrated probabilities of patients with these patterns, of any shape."""
        scores = [_log_odds(p)]
        if self.isotonic is not None:
            scores.append(_log_odds(self.isotonic.predict(p.ravel()).reshape(p.shape)))
        moved = sum(
            slope[pattern] * score for slope, score in zip(self.slopes, scores, strict=True)
        )
        return np.asarray(expit(self.intercepts[pattern] + moved))


def _log_odds(p: Floats) -> Floats:
    return np.asarray(logit(np.clip(p, NEAREST, 1 - NEAREST)))


def learn(kind: str, p: Floats, y: Labels, unknown: NDArray[np.intp]) -> Calibration:
    """Learn the calibration of a pipeline from patients that it was not fitted on.

    Parameters
    ----------
    kind : str
        One of CALIBRATIONS: the calibration where all is known.
    p : array of float, shape (n_patterns, n_rows)
        The pipeline's probabilities, with the findings of each pattern masked.
    y, unknown : arrays of int, shape (n_rows,)
        Labels, and the patterns of what was unknown of the patients anyway.
    """
    # A patient with more unknown findings than a pattern belongs to other patterns.
    weights = patterns.within(unknown).astype(float)
    few = np.minimum(weights @ (y == 1), weights @ (y == 0)) < FEWEST
    weights[few] = 1
    intercepts, lines = fit_lines(_log_odds(p), y, weights, penalty=PENALTY)
    if kind == "sigmoid":
        return Calibration(intercepts, lines[np.newaxis])
    intercepts[0], lines[0] = 0, 1
    if kind == "none":
        return Calibration(intercepts, lines[np.newaxis])
    lines[0] = 0
    all_known = weights[0] > 0
    isotonic = _stepped(IsotonicRegression(out_of_bounds="clip").fit(p[0, all_known], y[all_known]))
    return Calibration(intercepts, np.array([lines, np.eye(1, patterns.COUNT)[0]]), isotonic)


def _stepped(exact: IsotonicRegression) -> IsotonicRegression:
    """Redraw an isotonic calibration on equal steps of its range.

    It may leap between two neighbouring probabilities, where float32 and float64 end up on
    different sides. This moves a probability by less than its noise, and lets ONNX follow.
    """
    steps = np.linspace(exact.X_min_, exact.X_max_, STEPS + 1)
    return IsotonicRegression(out_of_bounds="clip").fit(steps, exact.predict(steps))
