"""Cross-validation: how good a pipeline is on patients that it was not fitted on."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline

from clinical.errors import DataError
from steps.metrics import NAMES, Labels, scores

FOLDS = 10


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


def cross_validated(
    pipeline: Pipeline, features: pd.DataFrame, y: Labels, seed: int
) -> dict[str, float]:
    """Return mean and standard deviation of each measure over stratified 10-fold validation.

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
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    rows = []
    for fit, test in folds.split(features, y):
        fitted = clone(pipeline).fit(features.iloc[fit], y[fit])
        rows.append(scores(y[test], fitted.predict_proba(features.iloc[test])[:, 1]))
    found = {}
    for name in NAMES:
        values = np.array([row[name][0] for row in rows])
        found[f"cv_{name}_mean"] = float(values.mean())
        found[f"cv_{name}_std"] = float(values.std(ddof=1))
    return found
