"""Calibration: what brings probabilities in line with observed shares, whatever is unknown.

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
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.impute import MissingIndicator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures

from clinical.copies import assign_folds
from clinical.errors import DataError
from clinical.schema import FEATURE_NAMES
from risk_model import patterns
from steps.modelling.logistic import fit_lines

Floats = NDArray[np.float64]
Labels = NDArray[np.int8]

FOLDS = 3
"""Five do no better, and cost half as much again; see docs/decisions/0007."""
FEWEST = 10
"""With fewer patients of either class who know enough for a pattern, all are used for it."""
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
    # Who does not know what a pattern has known belongs to other patterns.
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


def fit(pipeline: Pipeline, kind: str, features: pd.DataFrame, y: Labels) -> StackingClassifier:
    """Return a fitted and calibrated model: a copy of the pipeline, and what calibrates it."""
    fitted = clone(pipeline).fit(features, y)
    unknown = patterns.of_rows(features.to_numpy(float))
    return as_model(fitted, learn(kind, _masked_scores(fitted, features, y), y, unknown))


def as_model(fitted: Pipeline, calibration: Calibration) -> StackingClassifier:
    """Return a fitted pipeline and its calibration as one scikit-learn model."""
    model = StackingClassifier(
        [("pipeline", fitted)],
        FrozenEstimator(_second_level(calibration)),
        cv="prefit",
        stack_method="predict_proba",
        passthrough=True,
    )
    # Both are fitted already: of the patients here it takes no more than their columns.
    nobody = pd.DataFrame(np.ones((2, len(FEATURE_NAMES))), columns=list(FEATURE_NAMES))
    model.fit(nobody, np.array([0, 1], np.int8))
    # Where the model is stored, each further mention of the pipeline would be another copy of it.
    model.estimators, model.named_estimators_ = [("pipeline", "drop")], {}
    return model


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
    known = columns.transform(features)
    masked = columns.transform(_masked(features)).reshape(patterns.COUNT, len(y), -1)
    p = np.empty((patterns.COUNT, len(y)))
    for number in range(FOLDS):
        left_out = fold == number
        estimator = clone(fitted[-1]).fit(known[~left_out], y[~left_out])
        rows = masked[:, left_out].reshape(-1, known.shape[1])
        p[:, left_out] = estimator.predict_proba(rows)[:, 1].reshape(patterns.COUNT, -1)
    return p


def _masked(features: pd.DataFrame) -> pd.DataFrame:
    rows = patterns.masked(features.to_numpy(float))
    return pd.DataFrame(rows, columns=list(FEATURE_NAMES))


def masked_probabilities(model: Any, features: pd.DataFrame) -> Floats:
    """Return a model's probabilities with each pattern masked, shape (n_patterns, n_rows)."""
    p = model.predict_proba(_masked(features))[:, 1]
    return np.asarray(p.reshape(patterns.COUNT, -1))


def lines(model: StackingClassifier) -> tuple[Floats, Floats]:
    """Return the intercepts and slopes of a model's `Calibration`."""
    second = model.final_estimator_.estimator
    count = len(second[0].transformers) - 1
    unknown = (np.arange(patterns.COUNT)[:, np.newaxis] & patterns.BITS) > 0

    def moved(*scores: float) -> Floats:
        rows = np.column_stack([np.tile(scores, (patterns.COUNT, 1)), unknown])
        return np.asarray(second[2].decision_function(second[1].transform(rows)))

    intercepts = moved(*np.zeros(count))
    return intercepts, np.array([moved(*one) - intercepts for one in np.eye(count)])


def isotonic(model: StackingClassifier) -> IsotonicRegression | None:
    """Return the isotonic part of a model's `Calibration`, None where there is none."""
    scores = model.final_estimator_.estimator[0].named_transformers_
    return scores["isotonic"][0].estimator if "isotonic" in scores else None


def _second_level(calibration: Calibration) -> Pipeline:
    """Return a calibration in scikit-learn's own terms.

    A logistic regression of the scores, with all interactions of what is unknown: its input is a
    probability and the 13 features, and its coefficients are those that `calibration` implies.
    """
    clip = FunctionTransformer(np.clip, kw_args={"a_min": NEAREST, "a_max": 1 - NEAREST})
    scores: list[tuple[str, Any, list[int]]] = [
        ("log_odds", make_pipeline(clip, FunctionTransformer(logit)), [0])
    ]
    if (isotonic := calibration.isotonic) is not None:
        column = FunctionTransformer(np.expand_dims, kw_args={"axis": 1})
        steps = FrozenEstimator(isotonic), column, clip, FunctionTransformer(logit)
        scores.append(("isotonic", make_pipeline(*steps), [0]))
    places = [1 + place for place in patterns.PLACES]
    columns = ColumnTransformer([*scores, ("unknown", MissingIndicator(features="all"), places)])
    terms = PolynomialFeatures(len(scores) + len(places), interaction_only=True, include_bias=False)
    before = make_pipeline(columns, terms)
    before.fit(np.full((1, 1 + len(FEATURE_NAMES)), 0.5))
    last = LogisticRegression()
    last.classes_ = np.array([0, 1], np.int8)
    last.intercept_, last.coef_ = _coefficients(calibration, terms.powers_)
    return make_pipeline(columns, terms, last)


def _coefficients(calibration: Calibration, powers: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return intercept and coefficients of the terms with these powers of scores and unknowns."""
    every = np.arange(patterns.COUNT)
    # A term of some unknowns counts in each pattern that holds all of them.
    counts = ((every[:, np.newaxis] & every) == every).astype(float)
    values = np.vstack([calibration.intercepts, calibration.slopes])
    by_unknowns = np.linalg.solve(counts, values.T)
    scores, unknowns = powers[:, : len(values) - 1], powers[:, len(values) - 1 :]
    products = scores.sum(axis=1) > 1
    which = np.where(products, 0, scores @ np.arange(1, len(values)))
    coefficients = np.where(products, 0, by_unknowns[unknowns @ patterns.BITS, which])
    return by_unknowns[0, :1], coefficients[np.newaxis]
