"""A challenger in shadow is compared on the patients that both were asked about."""

import numpy as np
import pandas as pd
import pytest

from clinical.schema import FEATURES
from steps.monitoring import shadow
from tests.steps.monitoring.logs import rows_of

PATIENTS = pd.DataFrame([{f.name: float(f.example) for f in FEATURES}] * 80)


def test_the_challenger_is_compared_with_the_answer_and_by_outcomes_where_they_are_known() -> None:
    # Of 80 patients, 60 were shown to a challenger that is right more often.
    asked = np.arange(80) < 60
    rows = rows_of(PATIENTS, np.tile([0.4, 0.6], 40)).assign(
        challenger_version=np.where(asked, "registry-v2", None),
        challenger_probability=np.where(asked, np.tile([0.7, 0.3], 40), np.nan),
    )
    (found,) = shadow.compare(rows, rows.iloc[:0].assign(disease=0))
    assert (found["challenger"], found["rows"], found["paired"]) == ("registry-v2", 60, None)
    assert found["mean_difference"] == pytest.approx(0)
    assert found["mean_absolute_difference"] == pytest.approx(0.3)
    assert found["flips"] == 1
    known = rows.assign(disease=np.tile([1, 0], 40).astype(np.int8))
    paired = shadow.compare(rows, known)[0]["paired"]
    assert paired["patients"] == 60
    assert paired["brier_gain"] == pytest.approx(0.6**2 - 0.3**2)
    assert 0 < paired["low"] <= paired["high"]
    assert paired["better_in"] == 1
