"""What training finds out about a model, on real patients: it agrees with what is known of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from clinical.schema import FEATURE_NAMES, LABEL
from steps.modelling import assessment, model_metadata, onnx_export
from steps.modelling.validation import OutOfFold, cross_validated
from steps.parameters.entry_points import CALIBRATIONS
from tests.steps.conftest import Patients, build

pytestmark = pytest.mark.slow


SEED = 42


def holds(found: dict[str, Any], name: str, known: float) -> bool:
    """Return whether the interval of a measure holds what is known of it."""
    return bool(found[f"{name}_ci_low"] <= known <= found[f"{name}_ci_high"])


def test_the_forest_is_what_it_is_known_to_be(cleveland: Patients) -> None:
    features, y = cleveland
    validated = cross_validated(build(calibration="none"), features, y)
    found = assessment.out_of_fold(features.assign(**{LABEL.name: y}), y, validated, SEED)
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


def test_without_ca_and_thal_the_default_is_as_good_as_promised(cleveland: Patients) -> None:
    patterns = measured(cleveland, cross_validated(build(), *cleveland))
    patients, found = patterns["ca", "thal"]
    assert patients == 303
    # Of the others, only who knows the other findings is measured.
    assert [patterns[names][0] for names in ((), ("ca",), ("thal",))] == [297, 301, 299]
    assert 0.93 <= found["observed_expected"] <= 1.07
    assert abs(found["calibration_intercept"]) <= 0.2
    assert found["brier"] <= 0.158
    assert found["sensitivity"] >= 0.68
    # As good as a model that is fitted without them.
    assert holds(found, "roc_auc", 0.858)


def test_the_reference_is_a_typical_patient_and_nobody_in_particular(cleveland: Patients) -> None:
    features, _ = cleveland
    forest = build().fit(*cleveland)
    content = onnx_export.convert(forest, features)

    def said(rows: np.ndarray) -> np.ndarray:
        return onnx_export.predict(content, rows)

    found = assessment.reference(said, model_metadata.seen(features, forest))
    values = [found["values"][name] for name in FEATURE_NAMES]
    assert not (features == values).all(axis=1).any()
    assert found["probability"] == pytest.approx(said(np.array([values]))[0], abs=1e-6)
    moved = assessment.importance(said, features.head(40), found)
    assert list(moved) == list(FEATURE_NAMES)
    assert set(sorted(moved, key=lambda name: -moved[name])[:3]) <= {"cp", "ca", "thal", "exang"}
