"""Fitting a calibrated model, or the calibration of one to other patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import logit
from sklearn.base import clone
from sklearn.ensemble import StackingClassifier
from sklearn.pipeline import Pipeline

from clinical.copies import assign_folds
from clinical.errors import DataError
from risk_model import patterns
from steps.modelling.calibration.form import as_model, isotonic, lines
from steps.modelling.calibration.learning import Calibration, learn
from steps.modelling.logistic import fit_lines
from steps.modelling.metrics import Floats, Labels

FOLDS = 3
"""Five do no better, and cost half as much again; see docs/decisions/0007."""


def fit(pipeline: Pipeline, kind: str, features: pd.DataFrame, y: Labels) -> StackingClassifier:
    """Return a fitted and calibrated model: a copy of the pipeline, and what calibrates it."""
    fitted = clone(pipeline).fit(features, y)
    unknown = patterns.of_rows(features.to_numpy(float))
    return as_model(fitted, learn(kind, _masked_scores(fitted, features, y), y, unknown))


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
        before, slopes = lines(self.model)
        moved = Calibration(intercept + slope * before, slope * slopes, isotonic(self.model))
        return as_model(self.model.estimators_[0], moved)


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


def _masked(features: pd.DataFrame) -> pd.DataFrame:
    rows = patterns.masked(features.to_numpy(float))
    return pd.DataFrame(rows, columns=features.columns)


def masked_probabilities(model: StackingClassifier | Pipeline, features: pd.DataFrame) -> Floats:
    """Return a model's probabilities with each pattern masked, shape (n_patterns, n_rows)."""
    p = model.predict_proba(_masked(features))[:, 1]
    return np.asarray(p.reshape(patterns.COUNT, -1))
