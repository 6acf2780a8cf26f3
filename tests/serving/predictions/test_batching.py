"""Many patients at once get what each would get alone, in their own order."""

from __future__ import annotations

import pytest

from risk_model.model import Model
from serving.predictions import batching
from tests.serving import forge


@pytest.mark.parametrize("count", [1, 2, 999, 1000, 1001, 5003])
def test_each_row_gets_its_own_answer_in_its_place(model: Model, count: int) -> None:
    rows = forge.patients(count, seed=count, unknown=0.2)
    found = batching.score(model, rows).labels
    assert found.tolist() == model.engine.score(rows).labels.tolist()
