"""The search: scikit-learn's own, over what `train` can be asked, on workers that may die."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from distributed import Client
from sklearn.base import clone
from sklearn.ensemble import StackingClassifier
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from sklearn.model_selection import ParameterSampler, cross_validate

from clinical.errors import DataError
from steps import train
from steps.batch import cluster
from steps.modelling import searching
from steps.modelling.searching import FOLDS, MEASURES, SPACES, Candidate, Results
from steps.runs.parameters import ENTRY_POINTS, MODELS, check
from tests.steps.conftest import Patients

TRIALS = 3
FIXED: dict[str, Any] = {
    name: value
    for name, value in check("train", {"n_estimators": "10"}).items()
    if name not in ("data", "test_size")
}


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with cluster.connect(workers=2) as made:
        yield made


def search_of(*models: str, trials: int = TRIALS, batch: int = 2, tell: Any = None) -> Any:
    tell = tell or (lambda results, first: None)
    return searching.prepare(Candidate(**FIXED), models, trials, batch, tell)


@pytest.fixture(scope="module")
def found(client: Client, sample: Patients) -> Any:
    """Return a finished search for the best logistic regression, which is fitted in no time."""
    with searching.spread(client):
        return search_of("logistic_regression").fit(*sample)


@pytest.mark.parametrize("model", MODELS)
def test_a_candidate_is_what_train_would_build(sample: Patients, model: str) -> None:
    values = {**check("train", {}), **FIXED, "model": model}
    candidate = Candidate(**{**FIXED, "model": model}).fit(*sample)
    built: StackingClassifier = train.build(values).fit(*sample)
    np.testing.assert_array_equal(
        candidate.predict_proba(sample[0]), built.predict_proba(sample[0])
    )
    np.testing.assert_array_equal(candidate.predict(sample[0]), built.predict(sample[0]))


def test_every_model_has_a_space_of_parameters_that_train_takes() -> None:
    assert set(SPACES) == set(MODELS)
    taken = {parameter.name: parameter for parameter in ENTRY_POINTS["train"]}
    for space in SPACES.values():
        assert space
        for name, distribution in space.items():
            for value in distribution.rvs(50, random_state=1):
                # The text of a value, as a launched step gets it, is the value.
                assert taken[name].read(str(value)) == value


def test_all_models_are_searched_and_only_by_their_own_parameters() -> None:
    drawn = list(
        ParameterSampler(
            search_of("random_forest", "logistic_regression").param_distributions, 40,
            random_state=1,
        )
    )  # fmt: skip
    kinds = {one["model"]: set(one) - {"model"} for one in drawn}
    assert kinds == {
        "random_forest": {"n_estimators", "max_depth", "min_samples_leaf"},
        "logistic_regression": {"C"},
    }


def test_a_search_tells_what_it_knows_after_each_batch(client: Client, sample: Patients) -> None:
    calls: list[tuple[int, int]] = []

    def tell(results: Results, first: int) -> None:
        calls.append((first, len(results["params"])))

    with searching.spread(client):
        search_of("logistic_regression", trials=5, batch=2, tell=tell).fit(*sample)
    assert calls == [(0, 2), (2, 4), (4, 5)]


def test_the_measures_are_those_of_scikit_learn(found: Any, sample: Patients) -> None:
    measured = searching.measured(found.cv_results_)
    features, y = sample
    chosen = clone(found.estimator).set_params(**found.cv_results_["params"][0])
    by_hand: dict[str, list[float]] = {name: [] for name in MEASURES}
    for fit, test in searching.folds(FIXED["random_state"]).split(features, y):
        p = clone(chosen).fit(features.iloc[fit], y[fit]).predict_proba(features.iloc[test])[:, 1]
        by_hand["brier"].append(brier_score_loss(y[test], p))
        by_hand["roc_auc"].append(roc_auc_score(y[test], p))
        by_hand["log_loss"].append(log_loss(y[test], p))
    for name, values in by_hand.items():
        assert measured[f"cv_{name}_mean"][0] == pytest.approx(np.mean(values))
        assert measured[f"cv_{name}_std"][0] == pytest.approx(np.std(values, ddof=1))


def test_the_lowest_brier_score_wins(found: Any) -> None:
    means = searching.measured(found.cv_results_)["cv_brier_mean"]
    assert found.best_index_ == means.argmin()
    assert found.best_params_ == found.cv_results_["params"][found.best_index_]


def test_the_same_seed_finds_the_same_on_a_cluster_and_in_this_process(
    found: Any, sample: Patients
) -> None:
    again = search_of("logistic_regression").fit(*sample)
    assert again.cv_results_["params"] == found.cv_results_["params"]
    for name, values in searching.measured(found.cv_results_).items():
        np.testing.assert_allclose(searching.measured(again.cv_results_)[name], values)


def test_each_patient_is_judged_by_the_winner_of_a_search_without_them(
    found: Any, sample: Patients, client: Client
) -> None:
    features, y = sample
    with searching.spread(client):
        p = searching.out_of_fold(found, features, y)
        fit, test = next(iter(searching.folds(FIXED["random_state"]).split(features, y)))
        first = clone(found).fit(features.iloc[fit], y[fit])
    np.testing.assert_allclose(p[test], first.predict_proba(features.iloc[test])[:, 1])
    assert p.shape == y.shape


def test_the_honest_figure_of_noise_is_no_better_than_chance(client: Client) -> None:
    """The best of many candidates looks good even where there is nothing to be found."""
    random = np.random.default_rng(5)
    features = pd.DataFrame(random.normal(size=(60, 13)))
    y = np.tile([0, 1], 30).astype(np.int8)
    features[[2, 6, 10, 12]] = random.integers(0, 3, size=(60, 4))
    with searching.spread(client):
        search = search_of("logistic_regression", trials=20, batch=20).fit(features, y)
        p = searching.out_of_fold(search, features, y)
    best = searching.measured(search.cv_results_)["cv_brier_mean"].min()
    assert brier_score_loss(y, p) > best
    assert brier_score_loss(y, p) > 0.24


def test_a_fit_is_one_task_and_not_one_for_each_tree(client: Client, sample: Patients) -> None:
    before = len(client.get_task_stream())
    with searching.spread(client):
        candidate = Candidate(**{**FIXED, "n_estimators": 50})
        cross_validate(candidate, *sample, cv=FOLDS, n_jobs=-1)
    assert len(client.get_task_stream()) - before == FOLDS


def test_the_work_is_done_on_the_cluster_even_if_it_has_one_core(sample: Patients) -> None:
    with cluster.connect(workers=1) as client, searching.spread(client):
        pids = joblib.Parallel(n_jobs=-1)(joblib.delayed(os.getpid)() for _ in range(3))
        inside = joblib.Parallel(n_jobs=1)(joblib.delayed(os.getpid)() for _ in range(3))
    assert os.getpid() not in pids
    assert set(inside) == {os.getpid()}


def test_a_failing_fit_ends_the_search(client: Client, sample: Patients) -> None:
    features, _ = sample
    with searching.spread(client), pytest.raises(ValueError, match="class"):
        search_of("logistic_regression").fit(features, np.zeros(len(features), np.int8))


@pytest.mark.parametrize(("rows", "enough"), [((10, 10), True), ((9, 50), False), ((50, 0), False)])
def test_too_few_patients_of_a_class_are_refused(rows: tuple[int, int], enough: bool) -> None:
    y = np.repeat([0, 1], rows).astype(np.int8)
    if enough:
        searching.require_enough(y)
        return
    with pytest.raises(DataError, match=f"rarer class has {min(rows)}$"):
        searching.require_enough(y)
