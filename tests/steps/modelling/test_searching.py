"""The search: candidates drawn from what `train` can be asked, on workers that may die."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from distributed import Client
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from steps.batch import cluster
from steps.modelling import estimators, searching
from steps.modelling.searching import MEASURES, SPACES, Candidate, Search
from steps.parameters.declaration import parameters_of, select
from steps.parameters.entry_points import MODELS, Train
from tests.steps.conftest import Patients

pytestmark = pytest.mark.slow

FIXED = select(Train, {}, calibration="isotonic")
DRAWN = searching.draw(["logistic_regression"], 3, FIXED.random_state)  # fitted in no time


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with cluster.connect(workers=2) as made:
        yield made


@pytest.fixture(scope="module")
def search(client: Client, sample: Patients) -> Search:
    return Search(client, sample, DRAWN, FIXED)


@pytest.fixture(scope="module")
def tried(search: Search) -> Sequence[Candidate]:
    return list(search.candidates())


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


def test_the_measures_are_those_of_scikit_learn(
    tried: Sequence[Candidate], sample: Patients
) -> None:
    features, y = sample
    built = replace(FIXED, **tried[0].parameters)
    by_hand = []
    for fit, test in searching.folds(FIXED.random_state).split(features, y):
        model = estimators.from_parameters(built).fit(features.iloc[fit], y[fit])
        p = model.predict_proba(features.iloc[test])[:, 1]
        by_hand.append(
            [measure(y[test], p) for measure in (brier_score_loss, roc_auc_score, log_loss)]
        )
    means, deviations = np.mean(by_hand, axis=0), np.std(by_hand, axis=0, ddof=1)
    for name, mean, deviation in zip(MEASURES, means, deviations, strict=True):
        assert tried[0].measures[f"cv_{name}_mean"] == pytest.approx(mean)
        assert tried[0].measures[f"cv_{name}_std"] == pytest.approx(deviation)


def test_each_patient_is_judged_by_the_winner_of_a_search_without_them(
    search: Search, tried: Sequence[Candidate], sample: Patients
) -> None:
    said = np.full(len(sample.labels), np.nan)
    for test, p in search.out_of_fold():
        said[test] = p
    rows = np.arange(len(sample.labels))
    fitting, test = next(searching.folds(FIXED.random_state).split(rows, sample.labels))
    again = []
    for drawn in (one.parameters for one in tried):
        measures = searching.cross_validate(sample, fitting, replace(FIXED, **drawn))
        again.append(Candidate(drawn, measures))
    chosen = replace(FIXED, **searching.best(again).parameters)
    expected = searching.fit_and_predict(sample, fitting, test, chosen)
    np.testing.assert_allclose(said[test], expected)
    assert np.isfinite(said).all()


def test_a_failing_fit_ends_the_search(client: Client, sample: Patients) -> None:
    alike = Patients(sample.features, np.zeros(len(sample.labels), np.int8))
    with pytest.raises(ValueError, match="class"):
        list(Search(client, alike, DRAWN, FIXED).candidates())
