"""Cross-validation, and refits on resamples: predictions for patients not trained on."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from clinical.copies import SALT, assign_folds, near_copies
from risk_model import patterns
from risk_model.bands import RISK_BANDS, risk_levels
from steps.modelling import metrics
from steps.modelling.calibration.fitting import Recipe, Update, learn, masked_probabilities
from steps.modelling.metrics import Floats, Indices, Labels

FOLDS = 10
REFITS = 25
LEVEL = 0.95
BINS = 10


@dataclass(frozen=True)
class OutOfFold:
    """Probabilities of patients by models that were not fitted on them."""

    masked: Floats  # (n_patterns, n_rows): with the findings of each pattern unknown
    fold: Indices  # (n_rows,): in which each patient was left out
    measures: dict[str, float]  # the result of `metrics.over_folds`

    @property
    def probabilities(self) -> Floats:
        """Those of the patients as they are, shape (n_rows,)."""
        return np.asarray(self.masked[0])


def cross_validated(
    recipe: Recipe | Update, features: pd.DataFrame, y: Labels, salt: int = SALT
) -> OutOfFold:
    """Fit and ask a model by stratified 10-fold cross-validation; see `assign_folds`."""
    fold = assign_folds(features, y, FOLDS, salt)
    masked = np.full((patterns.COUNT, len(y)), np.nan)
    scores = []
    for number in range(FOLDS):
        left_out = fold == number
        fitted = recipe.fit(features[~left_out], y[~left_out])
        masked[:, left_out] = masked_probabilities(fitted, features[left_out])
        scores.append(metrics.scores(y[left_out], masked[0, left_out]))
    return OutOfFold(masked, fold, metrics.over_folds(scores, metrics.NAMES))


def refit_ranges(
    recipe: Recipe, features: pd.DataFrame, y: Labels, p: Floats, seed: int
) -> dict[str, Any]:
    """Return the range in which refitted models put patients, by their probability.

    As `risk_model.measurements.Refits` has it; `p` are the patients' out-of-fold probabilities.
    """
    refitted = out_of_bag(recipe, features, y, seed)
    changed = risk_levels(RISK_BANDS, refitted) != risk_levels(RISK_BANDS, p)
    changed &= np.isfinite(refitted)
    ends = np.unique([0, *np.quantile(p, np.arange(1, BINS) / BINS), 1])
    places = np.searchsorted(ends[1:-1], p, side="right")
    bins = []
    for number, (start, end) in enumerate(pairwise(ends)):
        members = places == number
        values = refitted[:, members]
        if np.isfinite(values).any():
            low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
            share = changed[:, members].any(axis=0).mean()
            bins.append(
                {"start": start, "end": end, "patients": int(members.sum()), "low": low,
                 "high": high, "changes_band": share}
            )  # fmt: skip
    return {"count": REFITS, "level": LEVEL, "bins": bins}


def out_of_bag(recipe: Recipe, features: pd.DataFrame, y: Labels, seed: int) -> Floats:
    """Return each refit's probabilities for patients not drawn, NaN for others: (REFITS, n).

    Patients are drawn with their near-copies. The calibration of a refitted model is learnt from
    those that it has not drawn: so it takes one fit, and the ranges are those of models that are
    calibrated by folds of their own.
    """
    random = np.random.default_rng(seed)
    groups, group = np.unique(near_copies(features), return_inverse=True)
    unknown = patterns.of_rows(features.to_numpy(float))
    probabilities = np.full((REFITS, len(y)), np.nan)
    for refit in range(REFITS):
        times = np.bincount(random.integers(0, len(groups), len(groups)), minlength=len(groups))
        drawn, left = np.repeat(np.arange(len(y)), times[group]), times[group] == 0
        if len(np.unique(y[drawn])) < 2 or len(np.unique(y[left])) < 2:
            continue
        fitted = clone(recipe.pipeline).fit(features.iloc[drawn], y[drawn])
        p = masked_probabilities(fitted, features[left])
        learnt = learn(recipe.calibration, p, y[left], unknown[left])
        probabilities[refit, left] = learnt.apply(p[0], unknown[left])
    return probabilities
