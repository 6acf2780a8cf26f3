"""Cross-validation: how good a pipeline is on patients that it was not fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clinical.copies import SALT, assign_folds
from clinical.errors import DataError
from risk_model import patterns
from steps.modelling.calibration import masked_probabilities
from steps.modelling.metrics import NAMES, Floats, Labels, scores

FOLDS = 10


class Recipe(Protocol):
    """What can be fitted: see `estimators.Recipe`."""

    def fit(self, features: pd.DataFrame, y: Labels) -> Any:
        """Return a fitted model, which has `predict_proba`."""
        ...


@dataclass(frozen=True)
class OutOfFold:
    """Probabilities of patients by models that were not fitted on them.

    Parameters
    ----------
    masked : array of float, shape (n_patterns, n_rows)
        With the findings of each pattern unknown; see `risk_model.patterns`.
    fold : array of int, shape (n_rows,)
        In which fold each patient was left out.
    measures : dict of str to float
        Mean and standard deviation over the folds of each of ``metrics.NAMES``.
    """

    masked: Floats
    fold: NDArray[np.intp]
    measures: dict[str, float]

    @property
    def probabilities(self) -> Floats:
        """Those of the patients as they are, shape (n_rows,)."""
        return np.asarray(self.masked[0])


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
    recipe: Recipe, features: pd.DataFrame, y: Labels, salt: int = SALT
) -> OutOfFold:
    """Fit and ask a model by stratified 10-fold cross-validation; see `assign_folds`.

    Raises
    ------
    DataError
        Where a class has fewer patients than there are folds.
    """
    fold = assign_folds(features, y, FOLDS, salt)
    masked = np.full((patterns.COUNT, len(y)), np.nan)
    rows = []
    for number in range(FOLDS):
        left_out = fold == number
        fitted = recipe.fit(features[~left_out], y[~left_out])
        masked[:, left_out] = masked_probabilities(fitted, features[left_out])
        rows.append(scores(y[left_out], masked[0, left_out]))
    return OutOfFold(masked, fold, _over_folds(rows))


def _over_folds(rows: list[dict[str, Floats]]) -> dict[str, float]:
    found = {}
    for name in NAMES:
        values = np.array([row[name][0] for row in rows])
        found[f"cv_{name}_mean"] = float(values.mean())
        found[f"cv_{name}_std"] = float(values.std(ddof=1))
    return found
