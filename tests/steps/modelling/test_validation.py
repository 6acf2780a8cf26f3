"""Cross-validation and refits predict patients by models that have not seen them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from clinical.schema import FEATURE_NAMES
from risk_model import patterns
from risk_model.measurements import Refits
from steps.modelling.calibration.fitting import Recipe
from steps.modelling.validation import FOLDS, REFITS, cross_validated, out_of_bag, refit_ranges
from tests.steps.conftest import Patients, build

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


def test_each_patient_is_predicted_once_and_unseen() -> None:
    frame = pd.DataFrame(dict.fromkeys(FEATURE_NAMES, np.arange(50.0)))
    y = np.repeat([0, 1], [30, 20]).astype(np.int8)
    found = cross_validated(make_pipeline(Notebook()), frame, y).measures
    assert len(CALLS) == FOLDS == 10
    assert all(not seen & asked for seen, asked in CALLS)
    assert sorted(age for _, asked in CALLS for age in asked) == list(range(50))
    # Saying the prevalence scores what it must.
    expected = {"roc_auc_mean": 0.5, "accuracy_mean": 0.6, "brier_mean": 0.24, "brier_std": 0}
    assert {name: found[f"cv_{name}"] for name in expected} == pytest.approx(expected)


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


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return build(model="logistic_regression", C=0.3, calibration="sigmoid", random_state=1)


def test_each_refit_answers_for_those_of_whom_it_has_drawn_no_copy(
    recipe: Recipe, sample: Patients
) -> None:
    features, y = sample
    twice = pd.concat([features, features.assign(chol=features["chol"] + 1)], ignore_index=True)
    probabilities = out_of_bag(recipe, twice, np.tile(y, 2), seed=3)
    answered = np.isfinite(probabilities)
    assert answered.shape == (REFITS, 2 * len(y))
    np.testing.assert_array_equal(answered[:, : len(y)], answered[:, len(y) :])
    # Those whom a bootstrap draws not once.
    assert answered.mean(axis=1) == pytest.approx(np.exp(-1), abs=0.08)
    known = probabilities[answered]
    assert ((known > 0) & (known < 1)).all()


def test_ranges_hold_the_probabilities_and_are_widest_in_the_middle(
    recipe: Recipe, sample: Patients
) -> None:
    p = cross_validated(recipe, *sample).probabilities
    found = Refits.model_validate(refit_ranges(recipe, *sample, p, seed=3), strict=False)
    assert sum(one.patients for one in found.bins) == len(p)
    assert (found.bins[0].start, found.bins[-1].end) == (0, 1)
    for one in found.bins:
        middle = np.median(p[(p >= one.start) & (p <= one.end)])
        assert one.low <= middle <= one.high
    ends = [found.range_of(q) for q in (0.02, 0.5, 0.98)]
    widths = [high - low for low, high in filter(None, ends)]
    assert widths[1] > 2 * max(widths[0], widths[2])
    # In the middle of a band few change it, at its ends most do.
    shares = [one.changes_band or 0 for one in found.bins]
    assert 0 <= min(shares) < 0.3
    assert 0.5 < max(shares) <= 1
