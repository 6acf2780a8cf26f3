"""A training: a model fitted to some of the patients, and measured on those it has not seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import StackingClassifier
from sklearn.inspection import permutation_importance

from clinical import copies
from clinical.errors import DataError
from clinical.hospitals import Cohort
from clinical.schema import FEATURE_NAMES
from steps.modelling import estimators, metrics, validation
from steps.modelling.calibration.fitting import Recipe, Update
from steps.parameters.entry_points import Train

PERMUTATIONS = 10


@dataclass(frozen=True)
class Input:
    """What a model is trained and tried on: prepared patients, and those of other hospitals."""

    patients: pd.DataFrame
    data: str  # what names them to `train`: the id of a preprocess run, or a path
    source: str  # the value of data.source
    digest: str  # the SHA-256 of their file
    elsewhere: list[Cohort]
    origins: Sequence[dict[str, Any]] = ()  # if of several files: each a `metadata.Origin`


@dataclass(frozen=True)
class Training:
    """The result of a training, with its input."""

    given: Train
    data: Input
    validated: validation.OutOfFold
    model: StackingClassifier
    fitting: pd.DataFrame  # the patients that it was fitted on
    held_out: pd.DataFrame  # and those that it was not
    measures: dict[str, float]  # on the held-out patients, and by cross-validation
    refits: dict[str, Any] | None  # the result of `validation.refit_ranges`; None for an update

    @property
    def features(self) -> pd.DataFrame:
        """The features that it was fitted to."""
        return self.fitting[list(FEATURE_NAMES)]

    def permutation_losses(self) -> dict[str, list[float]]:
        """Return, by feature, how much ROC AUC each of its permutations costs."""
        result = permutation_importance(
            self.model, *estimators.columns(self.held_out), scoring="roc_auc",
            n_repeats=PERMUTATIONS, random_state=self.given.random_state,
        )  # fmt: skip
        return dict(zip(FEATURE_NAMES, result.importances.tolist(), strict=True))


def fit(recipe: Recipe | Update, values: Train, data: Input) -> Training:
    """Fit a recipe to the training rows, validate it on all, and check it on the held-out ones.

    A `DataError` where those are all of one class.
    """
    # Not salted with the seed: whatever models are compared, the same patients are held out.
    fitting, held_out = copies.split(data.patients, values.test_size)
    whole, (x, y) = estimators.columns(data.patients), estimators.columns(held_out)
    validated = validation.cross_validated(recipe, *whole)
    if len(np.unique(y)) < 2:
        raise DataError(
            f"test_size={values.test_size} holds out {len(y)} patients, and none of the rarer "
            "class; a larger test_size holds out more"
        )
    model, seed = recipe.fit(*estimators.columns(fitting)), values.random_state
    measures = metrics.with_intervals(y, model.predict_proba(x)[:, 1], seed)
    refits = None
    if isinstance(recipe, Recipe):
        refits = validation.refit_ranges(recipe, *whole, validated.probabilities, seed)
    measures = validated.measures | measures
    return Training(values, data, validated, model, fitting, held_out, measures, refits)
