"""The ONNX model gives the probabilities of the one it is made from, or there is none."""

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from sklearn.ensemble import StackingClassifier

from clinical.copies import row_hashes
from clinical.schema import FEATURE_NAMES, FEATURES
from risk_model import patterns
from steps.modelling import onnx_export, references
from steps.parameters.entry_points import CALIBRATIONS
from tests.steps.conftest import Patients, small

CONVERTIBLE = ("random_forest", "extra_trees", "logistic_regression")


def probability(fitted: StackingClassifier, rows: np.ndarray) -> np.ndarray:
    return fitted.predict_proba(pd.DataFrame(rows, columns=list(FEATURE_NAMES)))[:, 1]


@pytest.fixture(scope="session")
def forest(sample: Patients) -> StackingClassifier:
    """Return a small forest, fitted on synthetic patients."""
    return small().fit(*sample)


@pytest.mark.parametrize("calibration", CALIBRATIONS)
@pytest.mark.parametrize("model", CONVERTIBLE)
def test_the_onnx_model_agrees_on_others_and_has_the_inputs_and_outputs_that_a_server_expects(
    sample: Patients, model: str, calibration: str
) -> None:
    features, y = sample
    fitted = small(model=model, calibration=calibration).fit(features[:200], y[:200])
    content = onnx_export.convert(fitted, features[:200])
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert (given.name, given.type, given.shape[1:]) == ("patients", "tensor(float)", [13])
    assert [(out.name, out.type) for out in session.get_outputs()] == [
        ("label", "tensor(int64)"),
        ("probabilities", "tensor(float)"),
    ]
    others = features[200:].mask(np.random.default_rng(1).random((len(features) - 200, 13)) < 0.2)
    label, both = session.run(None, {"patients": others.to_numpy(np.float32)})
    assert (label.shape, both.shape) == ((100,), (100, 2))
    np.testing.assert_allclose(both.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(label, both[:, 1] > 0.5)
    expected = probability(fitted, others.to_numpy(float))
    assert np.abs(both[:, 1] - expected).max() <= onnx_export.TOLERANCE


@pytest.mark.parametrize("where", ["known", "unknown", "undefined"])
def test_a_model_that_says_something_else_than_its_parts_is_caught(
    sample: Patients, forest: StackingClassifier, where: str
) -> None:
    class Boaster(StackingClassifier):
        def predict_proba(self, x: pd.DataFrame) -> np.ndarray:
            p = super().predict_proba(x)
            other = p**2 / (p**2).sum(axis=1, keepdims=True)
            if where == "undefined":
                other[0] = np.nan
            unknown = np.asarray(x.isna().any(axis=1))[:, np.newaxis]
            return np.where(unknown | (where != "unknown"), other, p)

    boaster = Boaster(forest.estimators)
    vars(boaster).update(vars(forest))
    with pytest.raises(ValueError, match="differs by"):
        onnx_export.convert(boaster, sample[0])


def test_the_edge_cases_hold_both_ends_and_the_absence_of_every_feature(sample: Patients) -> None:
    rows = pd.DataFrame(references.edge_cases(sample[0]), columns=list(FEATURE_NAMES))
    for feature in FEATURES:
        held = rows[feature.name]
        assert {feature.low, feature.high, *feature.codes} <= set(held)
        # Alone, and together with all the others; what may be unknown in half of the patterns too.
        assert held.isna().sum() == 2 + 16 * feature.nullable
    assert rows.isna().all(axis=1).sum() == 1
    assert len(set(patterns.of_rows(rows.to_numpy()))) == patterns.COUNT


def test_the_references_are_about_twenty_valid_rows_and_no_patients(cleveland: Patients) -> None:
    features, _ = cleveland
    rows = pd.DataFrame(references.reference_rows(features), columns=list(FEATURE_NAMES))
    assert not np.isin(row_hashes(rows), row_hashes(features)).any()
    assert 15 <= len(rows) <= 30
    assert rows.isna().any(axis=1).sum() >= 2
    for feature in FEATURES:
        assert all(feature.accepts(value) for value in rows[feature.name].dropna())
    # Where a typical row is somebody's, it is left out.
    alike = pd.concat([features.dropna().head(1)] * 20)
    few = pd.DataFrame(references.reference_rows(alike), columns=list(FEATURE_NAMES))
    assert len(few) > 3
    assert not np.isin(row_hashes(few), row_hashes(alike)).any()


def test_the_references_tell_a_model_from_another(
    sample: Patients, forest: StackingClassifier
) -> None:
    features, y = sample
    rows = references.reference_rows(features)
    other = small(random_state=2).fit(features, y)
    gap = np.abs(probability(forest, rows) - probability(other, rows)).max()
    assert gap > 100 * onnx_export.TOLERANCE
