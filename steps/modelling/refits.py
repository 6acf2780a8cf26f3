"""How sure a probability is: where the same recipe, refitted on resamples, puts a patient."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from clinical.copies import near_copies
from risk_model import patterns
from risk_model.bands import RISK_BANDS, risk_levels
from steps.modelling import calibration
from steps.modelling.estimators import Recipe
from steps.modelling.metrics import Floats, Labels

COUNT = 25
LEVEL = 0.95
BINS = 10


def measure(
    recipe: Recipe, features: pd.DataFrame, y: Labels, p: Floats, seed: int
) -> dict[str, Any]:
    """Return the range in which refitted models put patients, by their probability.

    Parameters
    ----------
    recipe : Recipe
    features : DataFrame
    y : array of int, shape (n_rows,)
    p : array of float, shape (n_rows,)
        The patients' out-of-fold probabilities.
    seed : int

    Returns
    -------
    dict
        As `risk_model.measurements.Refits` has it.
    """
    refitted = probabilities(recipe, features, y, seed)
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
    return {"count": COUNT, "level": LEVEL, "bins": bins}


def probabilities(recipe: Recipe, features: pd.DataFrame, y: Labels, seed: int) -> Floats:
    """Return what each refitted model says of the patients that it has not drawn, NaN of others.

    Patients are drawn with their near-copies. The calibration of a refitted model is learnt from
    those that it has not drawn: so it takes one fit, and the ranges are those of models that are
    calibrated by folds of their own.

    Returns
    -------
    array of float, shape (COUNT, n_rows)
    """
    random = np.random.default_rng(seed)
    groups, group = np.unique(near_copies(features), return_inverse=True)
    unknown = patterns.of_rows(features.to_numpy(float))
    found = np.full((COUNT, len(y)), np.nan)
    for refit in range(COUNT):
        times = np.bincount(random.integers(0, len(groups), len(groups)), minlength=len(groups))
        drawn, left = np.repeat(np.arange(len(y)), times[group]), times[group] == 0
        if len(np.unique(y[drawn])) < 2 or len(np.unique(y[left])) < 2:
            continue
        fitted = clone(recipe.pipeline).fit(features.iloc[drawn], y[drawn])
        p = calibration.masked_probabilities(fitted, features[left])
        learnt = calibration.learn(recipe.calibration, p, y[left], unknown[left])
        found[refit, left] = learnt.apply(p[0], unknown[left])
    return found
