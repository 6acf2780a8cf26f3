"""The search: candidates drawn from what `train` can be asked, on workers that may die."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from distributed import Client
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from clinical.errors import DataError
from steps.batch import cluster
from steps.modelling import estimators, searching
from steps.modelling.estimators import Patients
from steps.modelling.searching import MEASURES, SPACES, Candidate, Search
from steps.parameters.declaration import parameters_of, select
from steps.parameters.entry_points import MODELS, Train
from tests.steps import conftest

pytestmark = pytest.mark.slow

TRIALS = 3
FIXED = select(Train, {}, n_estimators=10, calibration="none")


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with cluster.connect(workers=2) as made:
        yield made


@pytest.fixture(scope="module")
def patients(sample: conftest.Patients) -> Patients:
    return Patients(*sample)


def search(client: Client, patients: Patients) -> Search:
    """Return a search for the best logistic regression, which is fitted in no time."""
    drawn = searching.draw(["logistic_regression"], TRIALS, FIXED.random_state)
    return Search(client, patients, drawn, FIXED)


@pytest.fixture(scope="module")
def regressions(client: Client, patients: Patients) -> Search:
    return search(client, patients)


@pytest.fixture(scope="module")
def tried(regressions: Search) -> Sequence[Candidate]:
    return list(regressions.candidates())


def out_of_fold(search: Search, rows: int) -> np.ndarray[Any, Any]:
    said = np.full(rows, np.nan)
    for test, p in search.out_of_fold():
        said[test] = p
    return said


def test_every_model_has_a_space_of_parameters_that_train_takes() -> None:
    assert set(SPACES) == set(MODELS)
    taken = parameters_of(Train)
    for space in SPACES.values():
        assert space
        for name, distribution in space.items():
            for value in distribution.rvs(50, random_state=1):
                # The text of a value, as a launched step gets it, is the value.
                assert taken[name].read(str(value)) == value


def test_all_models_are_drawn_and_only_with_their_own_parameters() -> None:
    drawn = searching.draw(["random_forest", "logistic_regression"], 40, 1)
    kinds = {one["model"]: set(one) - {"model"} for one in drawn}
    assert kinds == {
        "random_forest": {"n_estimators", "max_depth", "min_samples_leaf"},
        "logistic_regression": {"C"},
    }
    assert drawn == searching.draw(["random_forest", "logistic_regression"], 40, 1)


@pytest.mark.parametrize("model", MODELS)
def test_a_candidate_says_what_train_would_build(patients: Patients, model: str) -> None:
    rows = np.arange(len(patients.labels))
    values = replace(FIXED, model=model, calibration="sigmoid")
    built = estimators.from_parameters(values).fit(*patients)
    said = searching.fit_and_predict(patients, rows, rows, values)
    np.testing.assert_array_equal(said, built.predict_proba(patients.features)[:, 1])


def test_the_measures_are_those_of_scikit_learn(
    tried: Sequence[Candidate], patients: Patients
) -> None:
    features, y = patients
    built = replace(FIXED, **tried[0].parameters)
    by_hand: dict[str, list[float]] = {name: [] for name in MEASURES}
    for fit, test in searching.folds(FIXED.random_state).split(features, y):
        model = estimators.from_parameters(built).fit(features.iloc[fit], y[fit])
        p = model.predict_proba(features.iloc[test])[:, 1]
        by_hand["brier"].append(brier_score_loss(y[test], p))
        by_hand["roc_auc"].append(roc_auc_score(y[test], p))
        by_hand["log_loss"].append(log_loss(y[test], p))
    expected = {f"cv_{name}_mean": np.mean(values) for name, values in by_hand.items()}
    expected |= {f"cv_{name}_std": np.std(values, ddof=1) for name, values in by_hand.items()}
    assert tried[0].measures == pytest.approx(expected)


def test_each_patient_is_judged_by_the_winner_of_a_search_without_them(
    regressions: Search, tried: Sequence[Candidate], patients: Patients
) -> None:
    said = out_of_fold(regressions, len(patients.labels))
    rows = np.arange(len(patients.labels))
    fitting, test = next(searching.folds(FIXED.random_state).split(rows, patients.labels))
    again = []
    for drawn in (one.parameters for one in tried):
        measures = searching.cross_validate(patients, fitting, replace(FIXED, **drawn))
        again.append(Candidate(drawn, measures))
    chosen = replace(FIXED, **searching.best(again).parameters)
    expected = searching.fit_and_predict(patients, fitting, test, chosen)
    np.testing.assert_allclose(said[test], expected)
    assert np.isfinite(said).all()


def test_a_failing_fit_ends_the_search(client: Client, patients: Patients) -> None:
    alike = Patients(patients.features, np.zeros(len(patients.labels), np.int8))
    with pytest.raises(ValueError, match="class"):
        list(search(client, alike).candidates())


@pytest.mark.parametrize(("rows", "enough"), [((10, 10), True), ((9, 50), False), ((50, 0), False)])
def test_too_few_patients_of_a_class_are_refused(rows: tuple[int, int], enough: bool) -> None:
    y = np.repeat([0, 1], rows).astype(np.int8)
    if enough:
        searching.require_enough(y)
        return
    with pytest.raises(DataError, match=f"rarer class has {min(rows)}$"):
        searching.require_enough(y)
