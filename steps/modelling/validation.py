"""Cross-validation: how good a pipeline is on patients that it was not fitted on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline

from clinical.errors import DataError
from steps.modelling import estimators
from steps.modelling.metrics import NAMES, Floats, Labels, scores

FOLDS = 10
LATE = ("ca", "thal")
"""What is often unknown when a model is asked: it comes late, and ca is invasive."""


@dataclass(frozen=True)
class OutOfFold:
    """What models said of patients that they were not fitted on.

    Parameters
    ----------
    probabilities : array of float, shape (n_rows,)
        One for each patient.
    without : array of float, shape (n_rows,)
        The same, had the features of LATE been unknown.
    measures : dict of str to float
        Mean and standard deviation over the folds of each of ``metrics.NAMES``.
    """

    probabilities: Floats
    without: Floats
    measures: dict[str, float]


def require_both_classes(held_out: Labels, test_size: float) -> None:
    """Refuse held-out labels on which no discrimination can be measured.

    Raises
    ------
    DataError
        Where a class is missing.
    """
    if len(np.unique(held_out)) < 2:
        raise DataError(
            f"test_size={test_size} holds out {len(held_out)} patients, and none of the rarer "
            "class; a larger test_size holds out more"
        )


def cross_validated(pipeline: Pipeline, features: pd.DataFrame, y: Labels, seed: int) -> OutOfFold:
    """Fit and ask a pipeline by stratified 10-fold cross-validation.

    Raises
    ------
    DataError
        Where a class has fewer rows than there are folds.
    """
    rarest = int(np.bincount(y, minlength=2).min())
    if rarest < FOLDS:
        raise DataError(
            f"{FOLDS}-fold cross-validation needs {FOLDS} rows of each class; "
            f"the rarer class has {rarest}"
        )
    both = np.full((2, len(y)), np.nan)
    rows = []
    for fit, test in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(features, y):
        fitted = estimators.fit(clone(pipeline), features.iloc[fit], y[fit])
        asked = features.iloc[test]
        # In one call: it costs the same for 60 patients as for 30.
        twice = pd.concat([asked, asked.assign(**dict.fromkeys(LATE, np.nan))])
        both[:, test] = fitted.predict_proba(twice)[:, 1].reshape(2, -1)
        rows.append(scores(y[test], both[0, test]))
    return OutOfFold(both[0], both[1], _over_folds(rows))


def _over_folds(rows: list[dict[str, Floats]]) -> dict[str, float]:
    found = {}
    for name in NAMES:
        values = np.array([row[name][0] for row in rows])
        found[f"cv_{name}_mean"] = float(values.mean())
        found[f"cv_{name}_std"] = float(values.std(ddof=1))
    return found
