"""Patterns of unknown findings are numbered by what they lack."""

import numpy as np

from clinical.schema import FEATURE_NAMES, FEATURES
from risk_model import patterns

COMPLETE = np.array([[feature.example for feature in FEATURES]], float)


def test_masking_makes_each_pattern_once_and_changes_nothing_else() -> None:
    assert len({patterns.unknown(number) for number in range(patterns.COUNT)}) == 32
    assert patterns.unknown(31) == ("chol", "fbs", "slope", "ca", "thal")
    rows = patterns.masked(np.repeat(COMPLETE, 3, axis=0))
    assert patterns.of_rows(rows).tolist() == np.repeat(np.arange(32), 3).tolist()
    for row, number in zip(rows[::3], range(32), strict=True):
        known = np.array([name not in patterns.unknown(number) for name in FEATURE_NAMES])
        np.testing.assert_array_equal(row[known], COMPLETE[0, known])
        assert np.isnan(row[~known]).all()


def test_what_a_patient_lacks_anyway_stays_unknown() -> None:
    lacking = COMPLETE.copy()
    lacking[0, FEATURE_NAMES.index("ca")] = np.nan
    found = {patterns.unknown(number) for number in patterns.of_rows(patterns.masked(lacking))}
    assert all("ca" in names for names in found)
    within = patterns.within(patterns.of_rows(lacking))[:, 0]
    assert [bool(one) for one in within] == [
        "ca" in patterns.unknown(number) for number in range(32)
    ]
