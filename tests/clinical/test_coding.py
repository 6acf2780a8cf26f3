"""The coding of rows is weighed block by block, and what is not valid marks its row."""

from __future__ import annotations

import numpy as np
import pytest

from clinical.coding import Evidence, coding_of_label, decode, require_one_coding, valid, weigh
from clinical.dialects import CANONICAL, UCI, read_patients
from clinical.errors import DataError
from clinical.schema import FEATURE_NAMES, FEATURES
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


def test_only_codes_that_the_other_coding_lacks_are_evidence() -> None:
    assert weigh(columns(SICK_UCI)) == Evidence(uci=2)  # cp 4, thal 7
    assert weigh(columns(SICK_CSV)) == Evidence(canonical=1)  # cp 0
    either = changed(WELL_UCI, cp=2, thal=3, slope=1)
    nobody = changed(WELL_UCI, cp=9, thal=-9, slope=None)
    assert weigh(columns(either, nobody)) == Evidence()


def test_slope_0_and_thal_0_tell_nothing_since_they_hide_unknown_values() -> None:
    assert weigh(columns(changed(WELL_UCI, slope=0, thal=0))) == Evidence()


@pytest.mark.parametrize(
    ("evidence", "mixed"),
    [((0, 0), False), ((9, 0), False), ((1, 99), True), ((1, 100), False), ((50, 50), True)],
)
def test_more_than_one_in_a_hundred_is_no_slip_of_the_pen(
    evidence: tuple[int, int], mixed: bool
) -> None:
    assert Evidence(*evidence).mixed is mixed


@pytest.mark.parametrize("evidence", [Evidence(5, 0), Evidence(1, 1), Evidence(3, 200)])
def test_rows_in_another_coding_than_they_are_read_in_are_refused(evidence: Evidence) -> None:
    with pytest.raises(DataError, match=r"^here: the rows are not all in one coding: expected can"):
        require_one_coding(evidence, CANONICAL, "here")


@pytest.mark.parametrize("evidence", [Evidence(), Evidence(0, 7), Evidence(1, 100)])
def test_rows_in_one_coding_pass(evidence: Evidence) -> None:
    require_one_coding(evidence, CANONICAL, "here")


@pytest.mark.parametrize(("dialect", "rows"), [(UCI, [SICK_UCI, WELL_UCI]),
                                               (CANONICAL, [SICK_CSV, WELL_CSV])])  # fmt: skip
def test_decoding_says_what_reading_the_whole_file_says(dialect: object, rows: list) -> None:
    read, bad = decode(columns(*rows), dialect)
    label = "num" if dialect is UCI else "target"
    expected = read_patients(csv_bytes(rows, label), "file").frame
    assert list(read) == list(FEATURE_NAMES)
    assert bad == {}
    for name in FEATURE_NAMES:
        np.testing.assert_array_equal(read[name], expected[name])


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_value_out_of_range_or_a_code_that_is_none_marks_its_row(feature: object) -> None:
    for wrong in (feature.high + 1, feature.low - 1.5, np.inf, 0.5 if feature.codes else 1e6):
        read, bad = decode(columns(WELL_CSV, changed(WELL_CSV, **{feature.name: wrong})), CANONICAL)
        if feature.name == "ca" and wrong == 4:
            # In canonical files it stands for an unknown value, as thal 0 does.
            assert np.isnan(read["ca"][1])
            continue
        assert bad.keys() == {feature.name}
        np.testing.assert_array_equal(bad[feature.name], [False, True])
        np.testing.assert_array_equal(valid(bad, 2), [True, False])


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_what_must_be_known_is_missed_and_what_may_be_unknown_is_not(feature: object) -> None:
    for unknown in (None, -9):
        rows = columns(WELL_CSV, changed(WELL_CSV, **{feature.name: unknown}))
        read, bad = decode(rows, CANONICAL)
        assert (feature.name in bad) is not feature.nullable
        assert np.isnan(read[feature.name][1])


def test_decoding_does_not_change_what_it_is_given() -> None:
    given = columns(SICK_UCI, changed(WELL_UCI, chol=0))
    before = {name: cells.copy() for name, cells in given.items()}
    decode(given, UCI)
    for name, cells in given.items():
        np.testing.assert_array_equal(cells, before[name])


def test_a_label_stands_for_a_coding() -> None:
    assert coding_of_label(["age", "num"]) is UCI
    assert coding_of_label(["target"]) is coding_of_label(["disease"]) is CANONICAL
    assert coding_of_label(["age"]) is None
    with pytest.raises(DataError, match="more than one label: num, target"):
        coding_of_label(["num", "target"])
