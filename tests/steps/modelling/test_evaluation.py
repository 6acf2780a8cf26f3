"""An evaluation measures every cohort as far as it goes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from clinical.hospitals import Cohort
from clinical.schema import LABEL
from steps.modelling import evaluation
from steps.modelling.clinical_metrics import COMPARED
from tests.steps.conftest import Patients


def cohort(sample: Patients, site: str = "here", **hidden: float) -> Cohort:
    features, y = sample
    patients = features.assign(**hidden).assign(**{LABEL.name: y})
    return Cohort(site, site.title(), patients, len(patients))


def guess(one: Cohort, seed: int = 1) -> np.ndarray:
    """Return probabilities that are right more often than not."""
    y = one.patients[LABEL.name].to_numpy()
    noise = np.random.default_rng(seed).normal(0, 1, len(y))
    return 1 / (1 + np.exp(-(1.5 * (2 * y - 1) + noise)))


@pytest.fixture
def measured(sample: Patients) -> list[evaluation.Measured]:
    here, there = cohort(sample), cohort(sample, "there", ca=np.nan, thal=np.nan)
    ill = there.patients[LABEL.name] == 1
    swiss = Cohort("alps", "Alps", there.patients[ill | (np.arange(len(ill)) < 20)], 200)
    found = [evaluation.measure(one, guess(one), 1) for one in (here, there, swiss)]
    found[1].notes.append("A note <of> the second.")
    return found


def test_few_figures_are_compared_and_the_account_has_all_with_intervals_and_groups(
    measured: list[evaluation.Measured],
) -> None:
    here = measured[0]
    assert list(here.compared) == list(COMPARED)
    assert {"net_benefit_20", "roc_auc_ci_low"} <= set(here.summary["metrics"])
    women = next(group for group in here.summary["groups"] if group["group"] == "female")
    assert {"sensitivity", "sensitivity_ci_low"} <= set(women["metrics"])


def test_where_nearly_everybody_is_ill_ranking_and_calibration_are_all_that_is_told(
    measured: list[evaluation.Measured],
) -> None:
    told = {"roc_auc", "calibration_slope", "calibration_intercept", "observed_expected"}
    assert set(measured[2].compared) == told
    assert {name for name in measured[2].summary["metrics"] if "_ci_" not in name} == told


def test_what_a_cohort_lacks_is_left_out_of_the_refitted_model(sample: Patients) -> None:
    values = {"n_estimators": 15, "max_depth": 4, "calibration": "none"}
    lacking = cohort(sample, "there", ca=np.nan, thal=np.nan)
    found = evaluation.refitted(values, cohort(sample).patients, lacking, 1)
    assert found is not None
    assert found["without"] == ["ca", "thal"]
    # Asked about what it was fitted on, without two columns: still good.
    assert found["metrics"]["roc_auc"] > 0.85
    assert evaluation.refitted(values, cohort(sample).patients, cohort(sample), 1) is None


def test_every_calibration_is_tried_on_the_same_patients(sample: Patients) -> None:
    values: dict[str, Any] = {
        "model": "logistic_regression", "n_estimators": 1, "max_depth": 1, "min_samples_leaf": 1,
        "random_state": 1, "calibration": "none",
    }  # fmt: skip
    found = evaluation.calibrations(values, cohort(sample).patients, 1)
    assert list(found) == ["none", "sigmoid", "isotonic"]
    assert len({m["brier"] for _, m in found.values()}) == 3
