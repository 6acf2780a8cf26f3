"""Cross-validation: every patient is predicted once, by a model that has not seen them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline

from clinical.errors import DataError
from clinical.schema import FEATURE_NAMES
from risk_model import patterns
from steps.modelling.validation import FOLDS, cross_validated

CALLS: list[tuple[set[float], set[float]]] = []


class Notebook(ClassifierMixin, BaseEstimator):
    """A classifier that says the prevalence, and notes the ages that it was shown."""

    def fit(self, x: pd.DataFrame, y: np.ndarray) -> Notebook:
        self.classes_, self.seen_ = np.array([0, 1]), set(x["age"])
        self.prevalence_ = y.mean()
        return self

    def predict_proba(self, x: pd.DataFrame) -> np.ndarray:
        CALLS.append((self.seen_, set(x["age"])))
        return np.tile([1 - self.prevalence_, self.prevalence_], (len(x), 1))


def pipeline() -> Pipeline:
    CALLS.clear()
    return make_pipeline(Notebook())


def patients(healthy: int, ill: int) -> tuple[pd.DataFrame, np.ndarray]:
    n = healthy + ill
    frame = pd.DataFrame(dict.fromkeys(FEATURE_NAMES, np.arange(n, dtype=float)))
    return frame, np.array([0] * healthy + [1] * ill, np.int8)


def test_each_patient_is_predicted_once_and_unseen() -> None:
    found = cross_validated(pipeline(), *patients(30, 20)).measures
    assert len(CALLS) == FOLDS == 10
    assert all(not seen & asked for seen, asked in CALLS)
    assert sorted(age for _, asked in CALLS for age in asked) == list(range(50))
    # Saying the prevalence scores what it must.
    assert found["cv_roc_auc_mean"] == pytest.approx(0.5)
    assert found["cv_accuracy_mean"] == pytest.approx(0.6)
    assert found["cv_brier_mean"] == pytest.approx(0.24)
    assert found["cv_brier_std"] == pytest.approx(0)


def test_what_is_unknown_in_a_pattern_is_kept_from_the_model() -> None:
    random = np.random.default_rng(1)
    y = random.permutation(np.repeat([0, 1], 60)).astype(np.int8)
    noise = {name: random.normal(size=120) for name in FEATURE_NAMES}
    features = pd.DataFrame({**noise, "thal": y + 1.0, "ca": y * 3.0})
    model = make_pipeline(SimpleImputer(), LogisticRegression())
    found = cross_validated(model, features[list(FEATURE_NAMES)], y)
    assert roc_auc_score(y, found.probabilities) == 1
    assert roc_auc_score(y, found.masked[patterns.NAMES.index("chol")]) == 1
    assert roc_auc_score(y, found.masked[24]) < 0.75  # ca and thal


@pytest.mark.parametrize(("healthy", "ill"), [(50, 9), (9, 50), (50, 0), (0, 50)])
def test_too_few_of_a_class_are_refused_with_the_count(healthy: int, ill: int) -> None:
    with pytest.raises(
        DataError, match=f"needs 10 patients of each class, .* {min(healthy, ill)}$"
    ):
        cross_validated(pipeline(), *patients(healthy, ill))
    assert CALLS == []
    assert cross_validated(pipeline(), *patients(50, 10))
