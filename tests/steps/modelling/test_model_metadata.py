"""What is measured of a trained model agrees with what is known of the patients, in plain JSON."""

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from clinical.schema import FEATURE_NAMES, LABEL
from risk_model import patterns
from risk_model.metadata import Metadata
from steps.modelling import estimators, model_metadata, onnx_export
from steps.modelling.training import Input, Training
from steps.modelling.validation import OutOfFold, cross_validated
from steps.parameters.declaration import check
from steps.parameters.entry_points import CALIBRATIONS, Train
from tests.steps.conftest import Patients, build, small

SEED = 42


def holds(found: dict[str, Any], name: str, known: float) -> bool:
    """Return whether the interval of a measure holds what is known of it."""
    return bool(found[f"{name}_ci_low"] <= known <= found[f"{name}_ci_high"])


@pytest.mark.slow
def test_the_forest_is_what_it_is_known_to_be(cleveland: Patients) -> None:
    features, y = cleveland
    validated = cross_validated(build(calibration="none"), features, y)
    found = model_metadata.out_of_fold(features.assign(**{LABEL.name: y}), y, validated, SEED)
    assert (found["patients"], found["diseased"]) == (303, 139)
    groups = {group["group"]: group for group in found["groups"]}
    assert [groups[name]["patients"] for name in ("male", "female")] == [206, 97]
    every, men, women = found["metrics"], groups["male"]["metrics"], groups["female"]["metrics"]
    for metrics, name, known in (
        (every, "roc_auc", 0.904), (every, "brier", 0.127), (every, "log_loss", 0.403),
        (every, "calibration_slope", 1.40), (men, "roc_auc", 0.881), (women, "roc_auc", 0.924),
        (women, "sensitivity", 0.72), (groups["age under 50"]["metrics"], "sensitivity", 0.65),
    ):  # fmt: skip
        assert holds(metrics, name, known), (name, known)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["random_forest", "extra_trees", "logistic_regression"])
@pytest.mark.parametrize("calibration", CALIBRATIONS)
def test_probabilities_stay_calibrated_whatever_is_unknown(
    cleveland: Patients, model: str, calibration: str
) -> None:
    recipe = build(model=model, calibration=calibration, n_estimators=50)
    validated = cross_validated(recipe, *cleveland)
    found = model_metadata.unknown_patterns(*cleveland, validated, SEED)
    assert len(found) == 32
    for one in found:
        assert 0.9 <= one["metrics"]["observed_expected"] <= 1.1, one["unknown"]
        assert abs(one["metrics"]["calibration_intercept"]) <= 0.25, one["unknown"]


@pytest.mark.slow
def test_without_ca_and_thal_the_default_is_as_good_as_promised(cleveland: Patients) -> None:
    validated = cross_validated(build(), *cleveland)
    measured = model_metadata.unknown_patterns(*cleveland, validated, SEED)
    by_unknown = {one["unknown"]: one for one in measured}
    # Of the others, only who knows the other findings is measured.
    counts = [by_unknown[names]["patients"] for names in ((), ("ca",), ("thal",), ("ca", "thal"))]
    assert counts == [297, 301, 299, 303]
    found = by_unknown["ca", "thal"]["metrics"]
    assert 0.93 <= found["observed_expected"] <= 1.07
    assert abs(found["calibration_intercept"]) <= 0.2
    assert found["brier"] <= 0.158
    assert found["sensitivity"] >= 0.68
    # As good as a model that is fitted without them.
    assert holds(found, "roc_auc", 0.858)


@pytest.mark.slow
def test_the_reference_is_a_typical_patient_and_nobody_in_particular(cleveland: Patients) -> None:
    features, _ = cleveland
    forest = build().fit(*cleveland)
    content = onnx_export.convert(forest, features)
    found = model_metadata.explanations(
        lambda rows: onnx_export.predict(content, rows), features.head(40), estimators.fills(forest)
    )
    values = np.array([found["reference"]["values"][name] for name in FEATURE_NAMES])
    assert not (features == values).all(axis=1).any()
    expected = onnx_export.predict(content, values[np.newaxis])[0]
    assert found["reference"]["probability"] == pytest.approx(expected, abs=1e-6)
    moved = found["importance"]
    assert list(moved) == list(FEATURE_NAMES)
    assert set(sorted(moved, key=lambda name: -moved[name])[:3]) <= {"cp", "ca", "thal", "exang"}


def test_neither_an_undefined_figure_nor_a_feature_that_nobody_knew_spoils_the_metadata(
    sample: Patients,
) -> None:
    features, y = sample.features.assign(chol=np.nan, ca=np.nan), sample.labels
    patients = features.assign(**{LABEL.name: y})
    p = np.clip(y + np.random.default_rng(1).normal(0, 0.4, len(y)), 0.01, 0.99)
    validated = OutOfFold(np.tile(p, (patterns.COUNT, 1)), np.zeros(len(y), np.intp), {})
    data = Input(patients, "", "synthetic", "d" * 64, [])
    figures = {"precision": math.nan, "roc_auc": 0.9}
    model = small().fit(features, y)
    done = Training(
        check(Train, {}), data, validated, model, patients, patients[:40], figures, None
    )
    metadata = model_metadata.gather(done, onnx_export.convert(model, features))
    text = metadata.as_json()
    assert Metadata.read(text) == metadata
    assert "NaN" not in text
    found = json.loads(text)
    assert found["metrics"] == {"roc_auc": 0.9}
    assert set(found["seen"]["chol"]) == {"fill"}
    assert found["seen"]["ca"]["codes"] == []


def test_the_baseline_counts_each_patient_once_in_bins_of_about_as_many(sample: Patients) -> None:
    features, y = sample
    baseline = model_metadata.baseline(features, np.random.default_rng(1).random(len(y)))
    assert baseline.patients == len(features)
    assert list(baseline.features) == list(FEATURE_NAMES)
    for name, bins in baseline.features.items():
        assert sum(bins.counts) + bins.missing == len(features), name
        assert bins.missing == features[name].isna().sum()
    assert baseline.features["cp"].codes == (0, 1, 2, 3)
    ages = baseline.features["age"]
    assert len(ages.counts) == len(ages.edges or ()) + 1
    assert min(ages.counts) > len(features) / 30
    assert sum(baseline.probability.counts) == len(y)


@pytest.mark.parametrize("values", [[np.nan, np.nan], [3.0, 3.0, 3.0]])
def test_a_baseline_of_what_nobody_or_everybody_has_is_one_bin(values: list[float]) -> None:
    patients = pd.DataFrame(dict.fromkeys(FEATURE_NAMES, values))
    found = model_metadata.baseline(patients, np.array([0.5])).features["chol"]
    assert (found.edges, sum(found.counts) + found.missing) == ((), len(values))
