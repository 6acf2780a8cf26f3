"""What training finds out about a model, on real patients: it agrees with what is known of them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import StackingClassifier

from clinical import hospitals
from clinical.schema import FEATURE_NAMES, LABEL
from risk_model import shapley
from steps.modelling import assessment, clinical_metrics, estimators, model_metadata, onnx_export
from steps.modelling.validation import OutOfFold, cross_validated
from steps.parameters.entry_points import CALIBRATIONS
from tests.steps.conftest import Patients
from tests.steps.recipes import build

pytestmark = pytest.mark.slow


SEED = 42


@pytest.fixture(scope="module")
def labelled(cleveland: Patients) -> pd.DataFrame:
    features, y = cleveland
    return features.assign(**{LABEL.name: y})


@pytest.fixture(scope="module")
def uncalibrated(cleveland: Patients) -> OutOfFold:
    return cross_validated(build(calibration="none"), *cleveland)


@pytest.fixture(scope="module")
def calibrated(cleveland: Patients) -> OutOfFold:
    return cross_validated(build(), *cleveland)


@pytest.fixture(scope="module")
def forest(cleveland: Patients) -> StackingClassifier:
    """Return the default model, fitted on all Cleveland patients."""
    return build().fit(*cleveland)


@pytest.fixture(scope="module")
def said(forest: StackingClassifier, cleveland: Patients) -> Callable[[np.ndarray], np.ndarray]:
    content = onnx_export.convert(forest, cleveland[0])
    assert content is not None
    return lambda rows: onnx_export.predict(content, rows)


def holds(found: dict[str, Any], name: str, known: float) -> bool:
    """Return whether the interval of a measure holds what is known of it."""
    return bool(found[f"{name}_ci_low"] <= known <= found[f"{name}_ci_high"])


def test_the_forest_is_what_it_is_known_to_be(
    labelled: pd.DataFrame, cleveland: Patients, uncalibrated: OutOfFold
) -> None:
    found = assessment.out_of_fold(labelled, cleveland[1], uncalibrated, SEED)
    assert (found["patients"], found["diseased"]) == (303, 139)
    known = {"roc_auc": 0.904, "brier": 0.127, "log_loss": 0.403, "calibration_slope": 1.40}
    for name, value in known.items():
        assert holds(found["metrics"], name, value), name
    groups = {group["group"]: group for group in found["groups"]}
    assert [groups[name]["patients"] for name in ("male", "female")] == [206, 97]
    assert holds(groups["male"]["metrics"], "roc_auc", 0.881)
    assert holds(groups["female"]["metrics"], "roc_auc", 0.924)
    assert holds(groups["female"]["metrics"], "sensitivity", 0.72)
    assert holds(groups["age under 50"]["metrics"], "sensitivity", 0.65)


@pytest.mark.parametrize(("model", "known"), [
    ("random_forest", {
        "accuracy": (0.828, 0.061), "roc_auc": (0.904, 0.046),
        "brier": (0.127, 0.02), "log_loss": (0.403, 0.05),
    }),
    ("logistic_regression", {
        "accuracy": (0.843, 0.058), "roc_auc": (0.911, 0.048),
        "brier": (0.117, 0.02), "log_loss": (0.380, 0.05),
    }),
])  # fmt: skip
def test_folds_agree_with_what_ten_times_ten_of_them_are_known_to_give(
    cleveland: Patients, model: str, known: dict[str, tuple[float, float]]
) -> None:
    values = {"model": model, "calibration": "none"}
    found = cross_validated(build(**values), *cleveland).measures
    for name, (mean, spread) in known.items():
        assert found[f"cv_{name}_mean"] == pytest.approx(mean, abs=spread / 2), name
    if model == "random_forest":
        assert found["cv_accuracy_std"] == pytest.approx(0.061, abs=0.03)


def measured(
    cleveland: Patients, validated: OutOfFold
) -> dict[tuple[str, ...], tuple[int, dict[str, float]]]:
    found = assessment.unknown_patterns(*cleveland, validated, SEED)
    return {one["unknown"]: (one["patients"], one["metrics"]) for one in found}


@pytest.mark.parametrize("model", ["random_forest", "extra_trees", "logistic_regression"])
@pytest.mark.parametrize("calibration", CALIBRATIONS)
def test_probabilities_stay_calibrated_whatever_is_unknown(
    cleveland: Patients, model: str, calibration: str
) -> None:
    values = {"model": model, "calibration": calibration, "n_estimators": 50}
    found = measured(cleveland, cross_validated(build(**values), *cleveland))
    assert len(found) == 32
    for unknown, (_, figures) in found.items():
        assert 0.9 <= figures["observed_expected"] <= 1.1, unknown
        assert abs(figures["calibration_intercept"]) <= 0.25, unknown


def test_without_ca_and_thal_the_default_is_as_good_as_promised(
    cleveland: Patients, calibrated: OutOfFold
) -> None:
    patients, found = measured(cleveland, calibrated)["ca", "thal"]
    assert patients == 303
    assert 0.93 <= found["observed_expected"] <= 1.07
    assert abs(found["calibration_intercept"]) <= 0.2
    assert found["brier"] <= 0.158
    assert found["sensitivity"] >= 0.68
    # As good as a model that is fitted without them.
    assert holds(found, "roc_auc", 0.858)


def test_only_who_knows_the_other_findings_is_measured(
    cleveland: Patients, calibrated: OutOfFold
) -> None:
    found = measured(cleveland, calibrated)
    assert [found[names][0] for names in ((), ("ca",), ("thal",))] == [297, 301, 299]


def test_calibration_by_default_makes_the_forest_say_what_it_means(
    cleveland: Patients, uncalibrated: OutOfFold, calibrated: OutOfFold
) -> None:
    plain, default = (
        clinical_metrics.scores(cleveland[1], found.probabilities)
        for found in (uncalibrated, calibrated)
    )
    assert plain["calibration_slope"][0] > 1.2
    assert default["calibration_slope"][0] == pytest.approx(1, abs=0.15)
    assert default["brier"][0] < plain["brier"][0] + 0.002
    assert default["roc_auc"][0] == pytest.approx(plain["roc_auc"][0], abs=0.01)


def test_more_are_ill_in_each_higher_risk_band(cleveland: Patients, calibrated: OutOfFold) -> None:
    found = clinical_metrics.bands(cleveland[1], calibrated.probabilities)
    rates = [band["observed"]["diseased"] / band["observed"]["patients"] for band in found]
    assert sum(band["observed"]["patients"] for band in found) == 303
    assert rates == sorted(rates)
    assert rates[0] < 0.2
    assert rates[2] > 0.8
    for low, high in pairwise(found):
        assert low["observed"]["high"] < high["observed"]["low"]


@pytest.mark.parametrize(("site", "area"), [
    ("hungarian", 0.892), ("switzerland", 0.766), ("va", 0.714),
])  # fmt: skip
def test_other_hospitals_are_served_as_well_as_is_known(
    uci_zip: Path, said: Callable[[np.ndarray], np.ndarray], site: str, area: float
) -> None:
    cohorts = {cohort.site: cohort for cohort in hospitals.read_cohorts(uci_zip)}
    p = said(cohorts[site].patients[list(FEATURE_NAMES)].to_numpy(float))
    found = assessment.cohort(cohorts[site], p, SEED)
    assert holds(found["metrics"], "roc_auc", area)
    assert {"calibration_slope", "calibration_intercept"} <= set(found["metrics"])
    # Where nearly everybody is ill, whoever says so of all is nearly always right.
    assert found["lopsided"] == (site == "switzerland")
    assert ("sensitivity" in found["metrics"]) == (site != "switzerland")
    assert "ca" in found["mostly_missing"]


def test_contributions_add_up_to_the_served_probability_of_every_patient(
    cleveland: Patients, forest: StackingClassifier, said: Callable[[np.ndarray], np.ndarray]
) -> None:
    fills = estimators.fills(forest)
    reference = np.array([fills[name] for name in FEATURE_NAMES])
    rows = cleveland[0].to_numpy(float)
    served = said(rows)
    for row, probability in zip(rows, served, strict=True):
        found = shapley.explain(said, row, reference)
        assert found.base + found.contributions.sum() == pytest.approx(probability, abs=1e-5)


def test_the_reference_is_a_typical_patient_and_nobody_in_particular(
    cleveland: Patients, forest: StackingClassifier, said: Callable[[np.ndarray], np.ndarray]
) -> None:
    features, _ = cleveland
    found = assessment.reference(said, model_metadata.seen(features, forest))
    values = [found["values"][name] for name in FEATURE_NAMES]
    assert not (features == values).all(axis=1).any()
    assert found["probability"] == pytest.approx(said(np.array([values]))[0], abs=1e-6)
    moved = assessment.importance(said, features.head(40), found)
    assert list(moved) == list(FEATURE_NAMES)
    assert set(sorted(moved, key=lambda name: -moved[name])[:3]) <= {"cp", "ca", "thal", "exang"}
