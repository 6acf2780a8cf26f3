"""Many patients at once get what each would get alone, in their own order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clinical.schema import FEATURES
from serving import batching
from serving.model import Model
from tests.serving import forge

WIDTH = len(FEATURES)


@pytest.mark.parametrize("count", [1, 2, 999, 1000, 1001, 5003])
def test_each_row_gets_its_own_answer_in_its_place(model: Model, count: int) -> None:
    rows = forge.patients(count, seed=count, unknown=0.2)
    found = batching.score(model, rows)
    assert found.tolist() == model.engine.score(rows).labels.tolist()


def test_it_is_the_same_in_threads(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import ThreadPoolExecutor

    rows = forge.patients(7001, seed=1, unknown=0.2)
    with ThreadPoolExecutor(4) as pool:

        def in_threads(functions: Any) -> list[Any]:
            return [call.result() for call in [pool.submit(f) for f in functions]]

        monkeypatch.setattr(batching, "in_threads", in_threads)
        monkeypatch.setattr(batching, "_CORES", 4)
        found = batching.score(model, rows)
    assert found.tolist() == model.engine.score(rows).labels.tolist()


def test_those_with_the_same_codes_follow_one_another() -> None:
    coded = [i for i, feature in enumerate(FEATURES) if feature.codes]
    rows = forge.patients(5000, seed=2, unknown=0.1)
    codes = np.nan_to_num(rows[batching.alike(rows)][:, coded], nan=-1)
    changes = sum(map(any, np.diff(codes, axis=0)))
    assert changes + 1 == len(np.unique(codes, axis=0))


numbers = st.floats(-3e38, 3e38) | st.just(np.nan) | st.integers(-9, 9).map(float)


@given(arrays(np.float64, st.tuples(st.integers(1, 20), st.just(WIDTH)), elements=numbers))
def test_any_numbers_are_put_into_some_order(rows: Any) -> None:
    assert sorted(batching.alike(rows)) == list(range(len(rows)))
