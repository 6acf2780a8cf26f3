"""The models on offer: one scikit-learn pipeline each, from raw records to a probability."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from clinical.schema import FEATURE_NAMES, FEATURES, LABEL
from steps.modelling.calibration.fitting import Recipe
from steps.modelling.metrics import Labels
from steps.parameters.declaration import select
from steps.parameters.entry_points import Train


def from_parameters(values: Train) -> Recipe:
    """Return the unfitted model that the parameters of ``train`` describe.

    It takes the 13 features in the order of FEATURES, as a frame or an array of shape
    (n_rows, 13), NaN where a value is unknown. Columns are chosen by position, so that its ONNX
    model can take one matrix. The calibration is learnt by cross-validation inside the training
    rows; the pipeline itself learns from all of them, so that there is one to convert and explain.
    """
    seed = values.random_state
    size = {"max_depth": values.max_depth, "min_samples_leaf": values.min_samples_leaf}
    trees: dict[str, Any] = {"n_estimators": values.n_estimators, **size, "random_state": seed}
    estimators: dict[str, Any] = {
        "random_forest": RandomForestClassifier(**trees),
        "extra_trees": ExtraTreesClassifier(**trees),
        "logistic_regression": make_pipeline(
            StandardScaler(), LogisticRegression(C=values.C, max_iter=1000, random_state=seed)
        ),
        "hist_gradient_boosting": HistGradientBoostingClassifier(
            max_iter=values.n_estimators, **size, random_state=seed
        ),
    }
    pipeline = Pipeline([("columns", _columns()), ("estimator", estimators[values.model])])
    return Recipe(pipeline, values.calibration)


def from_recorded(parameters: dict[str, Any], **own: Any) -> Recipe:
    """Return the unfitted model of a stored one's parameters, but for some of our `own`.

    A model that an older version has trained has fewer parameters: others get their default.
    """
    return from_parameters(select(Train, parameters, **own))


class Patients(NamedTuple):
    """Patients to learn from: features, shape (n_rows, 13), and labels, shape (n_rows,)."""

    features: pd.DataFrame
    labels: Labels


def columns(patients: pd.DataFrame) -> Patients:
    """Return features and labels of a prepared frame."""
    return Patients(patients[list(FEATURE_NAMES)], patients[LABEL.name].to_numpy(np.int8))


def _columns() -> ColumnTransformer:
    """Return the imputation and encoding: medians for numbers, one-hot for unordered codes."""
    nominal = [i for i, feature in enumerate(FEATURES) if feature.nominal]
    ordered = [i for i, feature in enumerate(FEATURES) if not feature.nominal]
    encode = make_pipeline(
        SimpleImputer(strategy="most_frequent", keep_empty_features=True),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    )
    return ColumnTransformer(
        [
            ("ordered", SimpleImputer(strategy="median", keep_empty_features=True), ordered),
            ("nominal", encode, nominal),
        ]
    )


def fills(model: StackingClassifier) -> dict[str, float]:
    """Return what a fitted model's pipeline puts in place of an unknown value, by feature name."""
    (_, median, ordered), (_, encoding, nominal) = model.estimators_[0][0].transformers_
    filled = [*median.statistics_, *encoding[0].statistics_]
    places = zip([*ordered, *nominal], filled, strict=True)
    return {FEATURES[place].name: float(fill) for place, fill in places}
