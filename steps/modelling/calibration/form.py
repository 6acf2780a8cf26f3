"""A calibration for each pattern of unknown findings, and a calibrated model, in scikit-learn."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.impute import MissingIndicator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures

from clinical.schema import FEATURE_NAMES
from risk_model import patterns
from steps.modelling.logistic import log_odds
from steps.modelling.metrics import Floats, Indices

NEAREST = 1e-3
"""Probabilities are kept so far from 0 and 1: nearer ones differ between float32 and float64."""


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

    def apply(self, p: Floats, pattern: Indices) -> Floats:
        """Return the calibrated probabilities of patients with these patterns, of any shape."""
        scores = [log_odds(p, NEAREST)]
        if self.isotonic is not None:
            shares = self.isotonic.predict(p.ravel()).reshape(p.shape)
            scores.append(log_odds(shares, NEAREST))
        moved = [slope[pattern] * s for slope, s in zip(self.slopes, scores, strict=True)]
        return np.asarray(expit(self.intercepts[pattern] + sum(moved)))


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


def calibration_of(model: StackingClassifier) -> Calibration:
    """Return the calibration in a model."""
    columns, terms, last = (step for _, step in model.final_estimator_.estimator.steps)
    count = len(columns.transformers) - 1
    unknown = (np.arange(patterns.COUNT)[:, np.newaxis] & patterns.BITS) > 0

    def moved(*scores: float) -> Floats:
        rows = np.column_stack([np.tile(scores, (patterns.COUNT, 1)), unknown])
        return np.asarray(last.decision_function(terms.transform(rows)))

    intercepts = moved(*np.zeros(count))
    slopes = np.array([moved(*one) - intercepts for one in np.eye(count)])
    fitted = columns.named_transformers_
    isotonic = fitted["isotonic"][0].estimator if "isotonic" in fitted else None
    return Calibration(intercepts, slopes, isotonic)


def _second_level(calibration: Calibration) -> Pipeline:
    """Return a calibration in scikit-learn's own terms.

    A logistic regression of the scores, with all interactions of what is unknown: its input is a
    probability and the 13 features, and its coefficients are those that `calibration` implies.
    """
    clip = FunctionTransformer(np.clip, kw_args={"a_min": NEAREST, "a_max": 1 - NEAREST})
    to_log_odds = clip, FunctionTransformer(logit)
    scores: list[tuple[str, Any, list[int]]] = [("log_odds", make_pipeline(*to_log_odds), [0])]
    if calibration.isotonic is not None:
        column = FunctionTransformer(np.expand_dims, kw_args={"axis": 1})
        steps = FrozenEstimator(calibration.isotonic), column, *to_log_odds
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


def _coefficients(calibration: Calibration, powers: Indices) -> tuple[Floats, Floats]:
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
