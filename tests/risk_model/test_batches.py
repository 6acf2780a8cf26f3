"""Similar patients follow one another, and none is lost."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clinical.schema import FEATURES
from risk_model.batches import cache_friendly_order
from tests.serving import forge


def test_those_with_the_same_codes_follow_one_another() -> None:
    coded = [i for i, feature in enumerate(FEATURES) if feature.codes]
    rows = forge.patients(5000, seed=2, unknown=0.1)
    codes = np.nan_to_num(rows[cache_friendly_order(rows.T)][:, coded], nan=-1)
    changes = sum(map(any, np.diff(codes, axis=0)))
    assert changes + 1 == len(np.unique(codes, axis=0))


numbers = st.floats(-3e38, 3e38) | st.just(np.nan) | st.integers(-9, 9).map(float)


@given(arrays(np.float64, st.tuples(st.integers(1, 20), st.just(len(FEATURES))), elements=numbers))
def test_any_numbers_are_put_into_some_order(rows: Any) -> None:
    assert sorted(cache_friendly_order(rows.T)) == list(range(len(rows)))
