"""Similar patients follow one another, and none is lost."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clinical.schema import FEATURES
from risk_model.engines import cache_friendly_order, score_many
from risk_model.model import Origin, load
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


def side_by_side(calls: Any) -> Any:
    with ThreadPoolExecutor(3) as pool:
        return [task.result() for task in [pool.submit(call) for call in calls]]


@pytest.mark.parametrize("run", [None, side_by_side])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_each_patient_gets_their_own_answer(new_folder: Path, size: int, run: Any) -> None:
    engine = load(Origin(directory=str(new_folder))).engine
    rows = forge.patients(100, seed=size, unknown=0.2)
    scores, expected = score_many(engine, rows.T, size, run), engine.score(rows)
    np.testing.assert_array_equal(scores.labels, expected.labels)
    np.testing.assert_array_equal(scores.probabilities, expected.probabilities)
    assert [len(part) for part in score_many(engine, rows[:0].T, size, run)] == [0, 0]
