from __future__ import annotations

import numpy as np
import pytest

from clinical.codings.conversion import convert
from clinical.codings.definitions import CODINGS, UCI, Coding
from clinical.schema import FEATURE_NAMES
from tests.clinical.patient_files import (
    SICK_UCI,
    WELL_UCI,
    changed,
)


def columns(*rows: list[object]) -> dict[str, np.ndarray]:
    cells = [[np.nan if cell is None else cell for cell in row[:13]] for row in rows]
    return dict(zip(FEATURE_NAMES, np.array(cells, dtype=float).T, strict=True))


@pytest.mark.parametrize("coding", CODINGS.values(), ids=lambda coding: coding.name)
def test_9_vessels_are_an_unknown_number_in_every_coding(coding: Coding) -> None:
    converted = convert({"ca": np.array([9.0, 2.0])}, coding)
    np.testing.assert_array_equal(converted.columns["ca"], [np.nan, 2])
    assert converted.disguised["ca"] == 1


def test_conversion_does_not_change_what_it_is_given() -> None:
    given = columns(SICK_UCI, changed(WELL_UCI, chol=0))
    before = {name: cells.copy() for name, cells in given.items()}
    convert(given, UCI)
    for name, cells in given.items():
        np.testing.assert_array_equal(cells, before[name])
