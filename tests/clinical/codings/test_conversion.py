from __future__ import annotations

import numpy as np
import pytest

from clinical.codings.conversion import convert
from clinical.codings.definitions import CANONICAL, CODINGS, UCI, Coding
from clinical.patients import read_patients
from clinical.schema import FEATURE_NAMES, FEATURES, Feature
from tests.clinical.patient_files import (
    SICK_CSV,
    SICK_UCI,
    WELL_CSV,
    WELL_UCI,
    changed,
    csv_bytes,
)


def columns(*rows: list[object]) -> dict[str, np.ndarray]:
    cells = [[np.nan if cell is None else cell for cell in row[:13]] for row in rows]
    return dict(zip(FEATURE_NAMES, np.array(cells, dtype=float).T, strict=True))


@pytest.mark.parametrize(
    ("coding", "rows"), [(UCI, [SICK_UCI, WELL_UCI]), (CANONICAL, [SICK_CSV, WELL_CSV])]
)
def test_a_block_of_rows_is_converted_as_a_whole_file_is(coding: Coding, rows: list) -> None:
    converted = convert(columns(*rows), coding)
    expected = read_patients(csv_bytes(rows, "num" if coding is UCI else "target"), "file").frame
    assert list(converted.columns) == list(FEATURE_NAMES)
    assert converted.bad == {}
    for name in FEATURE_NAMES:
        np.testing.assert_array_equal(converted.columns[name], expected[name])


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_value_out_of_range_or_a_code_that_is_none_is_marked(feature: Feature) -> None:
    for wrong in (feature.high + 6, feature.low - 1.5, np.inf, 0.5 if feature.codes else 1e6):
        rows = columns(WELL_CSV, changed(WELL_CSV, **{feature.name: wrong}))
        converted = convert(rows, CANONICAL)
        if feature.name == "ca" and wrong == 9:
            assert np.isnan(converted.columns["ca"][1])
            continue
        assert converted.bad.keys() == {feature.name}
        np.testing.assert_array_equal(converted.bad[feature.name], [False, True])


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
