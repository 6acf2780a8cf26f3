"""The models on offer take records with gaps, and are as good as they are said to be."""

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.ensemble import StackingClassifier

from clinical.schema import FEATURE_NAMES, FEATURES
from risk_model.serialization import REVIEWED_TYPES, read_skops
from steps.modelling import estimators
from steps.parameters.declaration import Value
from steps.parameters.entry_points import CALIBRATIONS, MODELS
from tests.steps.conftest import Patients, build


def with_gaps(features: pd.DataFrame) -> pd.DataFrame:
    random = np.random.default_rng(3)
    return features.mask(random.random(features.shape) < 0.1)


@pytest.fixture(scope="session")
def fitted(sample: Patients) -> dict[str, StackingClassifier]:
    """Return each model, small, fitted on synthetic patients with gaps."""
    features, y = sample
    return {m: build(model=m, n_estimators=20).fit(with_gaps(features), y) for m in MODELS}


@pytest.mark.parametrize("model", MODELS)
def test_each_model_answers_whatever_is_unknown_as_a_frame_or_a_plain_matrix(
    fitted: dict[str, StackingClassifier], sample: Patients, model: str
) -> None:
    nothing = pd.DataFrame([dict.fromkeys(FEATURE_NAMES, np.nan)])
    rows = pd.concat([with_gaps(sample[0]), nothing])
    p = fitted[model].predict_proba(rows)
    assert p.shape == (len(rows), 2)
    assert ((p >= 0) & (p <= 1)).all()
    assert 0 < p[-1, 1] < 1
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        np.testing.assert_array_equal(p, fitted[model].predict_proba(rows.to_numpy()))


@pytest.mark.parametrize("model", MODELS)
def test_what_replaces_an_unknown_value_is_valid_and_scored_like_it(
    fitted: dict[str, StackingClassifier], sample: Patients, model: str
) -> None:
    (pipeline,), fills = fitted[model].estimators_, estimators.fills(fitted[model])
    assert set(fills) == set(FEATURE_NAMES)
    assert [f.name for f in FEATURES if not f.accepts(fills[f.name])] == []
    complete = sample[0].dropna().head(10)
    unknown = pd.concat([complete.assign(**{name: np.nan}) for name in FEATURE_NAMES])
    filled = pd.concat([complete.assign(**{name: fills[name]}) for name in FEATURE_NAMES])
    np.testing.assert_array_equal(pipeline.predict_proba(unknown), pipeline.predict_proba(filled))


@pytest.mark.parametrize("calibration", CALIBRATIONS)
@pytest.mark.parametrize("model", MODELS)
def test_skops_finds_nothing_in_a_model_beyond_the_reviewed_types(
    sample: Patients, model: str, calibration: str
) -> None:
    small = build(model=model, calibration=calibration, n_estimators=5).fit(*sample)
    stored = skops.io.dumps(small)
    found = skops.io.get_untrusted_types(data=stored)
    assert set(found) <= set(REVIEWED_TYPES)
    again = read_skops(stored)
    np.testing.assert_array_equal(again.predict_proba(sample[0]), small.predict_proba(sample[0]))


def test_the_parameters_reach_the_estimator() -> None:
    values: dict[str, Value] = {
        "n_estimators": 7, "max_depth": 3, "min_samples_leaf": 4, "random_state": 9,
    }  # fmt: skip
    for model in ("random_forest", "extra_trees"):
        found = build(model=model, **values).pipeline[-1].get_params()
        assert {name: found[name] for name in values} == values
    values = {**values, "C": 0.5}
    boosted = build(**values, model="hist_gradient_boosting").pipeline[-1]
    assert (boosted.max_iter, boosted.max_depth, boosted.min_samples_leaf) == (7, 3, 4)
    logistic = build(**values, model="logistic_regression").pipeline[-1]
    assert (logistic[-1].C, logistic[-1].random_state) == (0.5, 9)
