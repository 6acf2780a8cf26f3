"""Fitting a calibrated model, or the calibration of one to other patients.

Each pattern of unknown findings has a logistic regression of its own on the log-odds that the
pipeline gives with typical values in their place. It is learnt from patients whose findings were
masked, each scored by a pipeline that has not seen them. Where all is known, the calibration that
was chosen holds: another such regression (sigmoid), an isotonic one, or none.

References
----------
Mercaldo, Blume: Missing data and prediction: the pattern submodel. Biostatistics 2020.
https://doi.org/10.1093/biostatistics/kxy040
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import logit
from sklearn.base import clone
from sklearn.ensemble import StackingClassifier
from sklearn.isotonic import IsotonicRegression
from sklearn.pipeline import Pipeline

from clinical.copies import assign_folds
from clinical.errors import DataError
from risk_model import patterns
from steps.modelling.calibration.form import NEAREST, Calibration, as_model, calibration_of
from steps.modelling.logistic import fit_lines, log_odds
from steps.modelling.metrics import Floats, Indices, Labels

FOLDS = 3
"""Five do no better, and cost half as much again; see docs/decisions/0007."""
FEWEST = 10
"""With fewer patients of either class for a pattern, all patients are used for it."""
STEPS = 100
"""Into how many equal steps the range of an isotonic calibration is divided."""
PENALTY = 1.0
"""Of a slope, as scikit-learn's own logistic regression has it: nothing runs away."""


@dataclass(frozen=True)
class Recipe:
    """An unfitted model: a pipeline from records to a probability, and one of CALIBRATIONS."""

    pipeline: Pipeline
    calibration: str

    def fit(self, features: pd.DataFrame, y: Labels) -> StackingClassifier:
        """Return a model that is fitted to patients; the recipe stays as it is."""
        fitted = clone(self.pipeline).fit(features, y)
        p, unknown = _masked_scores(fitted, features, y), patterns.of_rows(features.to_numpy(float))
        return as_model(fitted, learn(self.calibration, p, y, unknown))


@dataclass(frozen=True)
class Update:
    """A model whose pipeline stays as it is, while its calibration is moved for other patients."""

    model: StackingClassifier

    def fit(self, features: pd.DataFrame, y: Labels) -> StackingClassifier:
        """Return the model with intercept and slope of its log-odds fitted to patients.

        A line of a line is a line: each pattern of unknown findings keeps a calibration of the
        same form. A `DataError` where the higher the probability, the fewer are ill.

        References
        ----------
        Steyerberg et al.: Validation and updating of predictive logistic regression models.
        Statistics in Medicine 2004. https://doi.org/10.1002/sim.1844
        """
        p = self.model.predict_proba(features)[:, 1]
        intercept, slope = (end[0] for end in fit_lines(logit(p), y, np.ones((1, len(y)))))
        if not slope > 0:
            raise DataError(
                f"the model cannot be recalibrated on {len(y)} patients: expected more of them "
                "ill where its probability is higher; train a new model on them instead"
            )
        old = calibration_of(self.model)
        moved = Calibration(intercept + slope * old.intercepts, slope * old.slopes, old.isotonic)
        return as_model(self.model.estimators_[0], moved)


def learn(kind: str, p: Floats, y: Labels, unknown: Indices) -> Calibration:
    """Learn the calibration of a pipeline from patients that it was not fitted on.

    Its probabilities `p` are with the findings of each pattern masked, shape (n_patterns, n_rows);
    `unknown` are the patterns of what was unknown anyway, shape (n_rows,). The `kind`, one of
    CALIBRATIONS, is for patients of whom all is known.
    """
    # A patient with more unknown findings than a pattern belongs to other patterns.
    weights = patterns.within(unknown).astype(float)
    weights[np.minimum(weights @ (y == 1), weights @ (y == 0)) < FEWEST] = 1
    intercepts, lines = fit_lines(log_odds(p, NEAREST), y, weights, penalty=PENALTY)
    if kind == "sigmoid":
        return Calibration(intercepts, lines[np.newaxis])
    intercepts[0], lines[0] = 0, 1
    if kind == "none":
        return Calibration(intercepts, lines[np.newaxis])
    lines[0] = 0
    all_known = weights[0] > 0
    exact = IsotonicRegression(out_of_bounds="clip").fit(p[0, all_known], y[all_known])
    # It may leap between two neighbouring probabilities, where float32 and float64 end up on
    # different sides. Equal steps move it by less than its noise, and let ONNX follow.
    steps = np.linspace(exact.X_min_, exact.X_max_, STEPS + 1)
    stepped = IsotonicRegression(out_of_bounds="clip").fit(steps, exact.predict(steps))
    return Calibration(intercepts, np.array([lines, np.eye(1, patterns.COUNT)[0]]), stepped)


def _masked_scores(fitted: Pipeline, features: pd.DataFrame, y: Labels) -> Floats:
    """Return out-of-fold probabilities with each pattern masked, shape (n_patterns, n_rows).

    The columns are prepared as in the fitted pipeline, which looks at no label: what replaces an
    unknown finding must be the same in all folds, or their scores are not alike.
    """
    columns, fold = fitted[:-1], assign_folds(features, y, FOLDS)
    prepared = columns.transform(features)
    masked = columns.transform(_masked(features)).reshape(patterns.COUNT, len(y), -1)
    p = np.empty((patterns.COUNT, len(y)))
    for number in range(FOLDS):
        left_out = fold == number
        estimator = clone(fitted[-1]).fit(prepared[~left_out], y[~left_out])
        rows = masked[:, left_out].reshape(-1, prepared.shape[1])
        p[:, left_out] = estimator.predict_proba(rows)[:, 1].reshape(patterns.COUNT, -1)
    return p


def masked_probabilities(model: StackingClassifier | Pipeline, features: pd.DataFrame) -> Floats:
    """Return a model's probabilities with each pattern masked, shape (n_patterns, n_rows)."""
    return np.asarray(model.predict_proba(_masked(features))[:, 1].reshape(patterns.COUNT, -1))


def _masked(features: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(patterns.masked(features.to_numpy(float)), columns=features.columns)
