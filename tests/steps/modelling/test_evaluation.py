"""An evaluation measures every cohort as far as it goes."""

from __future__ import annotations

import numpy as np

from clinical.hospitals import Cohort
from clinical.schema import LABEL
from steps.modelling import evaluation
from tests.steps.conftest import Patients


def cohort(sample: Patients, **hidden: float) -> Cohort:
    features, y = sample
    patients = features.assign(**hidden).assign(**{LABEL.name: y})
    return Cohort("here", "Here", patients, len(patients))


def test_what_a_cohort_lacks_is_left_out_of_the_refitted_model(sample: Patients) -> None:
    values = {"n_estimators": 15, "max_depth": 4, "calibration": "none"}
    lacking = cohort(sample, ca=np.nan, thal=np.nan)
    found = evaluation.refitted(values, cohort(sample).patients, lacking, 1)
    assert found is not None
    assert found["without"] == ["ca", "thal"]
    # Asked about what it was fitted on, without two columns: still good.
    assert found["metrics"]["roc_auc"] > 0.85
