"""The coding of rows is told by evidence that adds up, block by block."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinical.codings.definitions import CANONICAL, CODINGS, HEART_CSV, UCI, ZERO_BASED, Coding
from clinical.codings.evidence import Evidence, count_coding_evidence, require_coding
from clinical.codings.recognition import coding_of_rows
from clinical.errors import DataError
from clinical.hospitals import TITLES
from clinical.patients import read_patients
from clinical.schema import FEATURE_NAMES
from tests.clinical.patient_files import SICK_CSV, SICK_UCI, WELL_UCI, changed, written_in


def evidence(*rows: list[object]) -> Evidence:
    cells = [[np.nan if cell is None else cell for cell in row[:13]] for row in rows]
    return of_frame(pd.DataFrame(cells, columns=FEATURE_NAMES))


def of_frame(frame: pd.DataFrame) -> Evidence:
    return count_coding_evidence({name: frame[name].to_numpy(float) for name in FEATURE_NAMES})


@pytest.fixture(scope="module")
def hospitals(members: dict[str, Path | bytes]) -> dict[str, pd.DataFrame]:
    return {site: read_patients(members[f"processed.{site}.data"], site).frame for site in TITLES}


# --- Codes --------------------------------------------------------------------------------------


def test_only_codes_that_the_other_codings_lack_are_evidence() -> None:
    assert evidence(SICK_UCI).foreign(CANONICAL) == 2  # cp 4, thal 7
    assert evidence(SICK_UCI).foreign(UCI) == 0
    assert evidence(SICK_CSV).foreign(UCI) == 1  # cp 0
    either = changed(WELL_UCI, cp=2, thal=3, slope=1)
    nobody = changed(WELL_UCI, cp=9, thal=-9, slope=None)
    assert evidence(either, nobody, changed(either, cp=1.5, thal=np.inf)).coding is None
    # These hide unknown values.
    assert evidence(changed(WELL_UCI, slope=0, thal=0)).coding is None


NEITHER = changed(WELL_UCI, cp=2, thal=3, slope=1)
AS_UCI, AS_CANONICAL = changed(NEITHER, cp=4), changed(NEITHER, cp=0)


@pytest.mark.parametrize(("uci", "canonical", "mixed", "refused"), [
    (0, 0, False, False), (0, 7, False, False), (1, 100, False, False), (9, 0, False, True),
    (1, 99, True, True), (3, 200, True, True), (50, 50, True, True),
])  # fmt: skip
def test_more_than_one_in_a_hundred_is_no_slip_of_the_pen(
    uci: int, canonical: int, mixed: bool, refused: bool
) -> None:
    found = evidence(NEITHER, *[AS_UCI] * uci, *[AS_CANONICAL] * canonical)
    refusal = pytest.raises(DataError, match=r"^here: the rows are not all in one coding: expected")
    with refusal if refused else nullcontext():
        require_coding(found, CANONICAL, "here")
    refusal = pytest.raises(DataError, match="its rows are not all in one coding")
    with refusal if mixed else nullcontext():
        coding_of_rows(found)


def test_evidence_of_blocks_adds_up(hospitals: dict[str, pd.DataFrame]) -> None:
    frame = hospitals["va"]
    whole, parts = of_frame(frame), of_frame(frame[:77]) + of_frame(frame[77:])
    np.testing.assert_array_equal(whole.codes, parts.codes)
    np.testing.assert_allclose(whole.seen, parts.seen)


# --- Associations -------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", [UCI, CANONICAL, HEART_CSV], ids=lambda coding: coding.name)
@pytest.mark.parametrize("site", TITLES)
def test_no_hospital_is_refused_in_its_own_coding(
    hospitals: dict[str, pd.DataFrame], site: str, coding: Coding
) -> None:
    found = of_frame(written_in(coding, hospitals[site]))
    assert found.objections(coding) == {}


@pytest.mark.parametrize("coding", [UCI, CANONICAL], ids=lambda coding: coding.name)
@pytest.mark.parametrize("size", [30, 60, 100, 303])
def test_a_part_of_cleveland_is_hardly_ever_refused_and_counted_from_0_hardly_ever_passes(
    hospitals: dict[str, pd.DataFrame], coding: Coding, size: int
) -> None:
    """Decision 18 has the figures of more draws."""
    rng, frame = np.random.default_rng(7), hospitals["cleveland"]
    right, wrong = written_in(coding, frame), written_in(ZERO_BASED, frame)
    draws = [rng.integers(0, len(frame), size) for _ in range(300)]
    assert not any(of_frame(right.iloc[rows]).objections(coding) for rows in draws)
    caught = sum(bool(of_frame(wrong.iloc[rows]).objections(CANONICAL)) for rows in draws)
    assert caught >= (0.88 if size == 30 else 0.98) * len(draws)


@pytest.mark.parametrize("column", ["cp", "slope"])
def test_one_column_counted_from_0_is_enough(
    hospitals: dict[str, pd.DataFrame], column: str
) -> None:
    frame = hospitals["cleveland"]
    mixed = frame.assign(**{column: written_in(ZERO_BASED, frame)[column]})
    assert list(of_frame(mixed).objections(CANONICAL)) == [column]


def test_a_numbering_of_thal_from_0_is_refused(hospitals: dict[str, pd.DataFrame]) -> None:
    frame = hospitals["cleveland"]
    numbered = frame.assign(thal=frame["thal"].map({1: 1, 2: 0, 3: 2}))
    against = of_frame(numbered).objections(CANONICAL)
    assert list(against) == ["thal"]
    assert "0 in 55% of the rows" in against["thal"]


def test_a_few_thal_0_are_missing_values() -> None:
    rows = [changed(SICK_CSV, thal=0)] * 2 + [SICK_CSV]
    assert evidence(*rows).objections(CANONICAL) == {}


@pytest.mark.parametrize("column", ["cp", "slope", "exang", "oldpeak"])
def test_a_column_that_nobody_knows_or_that_never_changes_is_no_evidence(column: str) -> None:
    for value in (None, 1):
        rows = [changed(row, **{column: value}) for row in (SICK_CSV, WELL_UCI) * 20]
        associations = evidence(*rows).associations(CANONICAL)
        assert 0.0 in associations.values()


# --- Rows that need no label --------------------------------------------------------------------


def test_the_codes_prove_a_coding_and_a_label_only_stands_in() -> None:
    for label in (None, "num", "target", "disease"):
        assert coding_of_rows(evidence(AS_UCI), label) is CODINGS["uci"]
    assert coding_of_rows(evidence(NEITHER), "num") is CODINGS["uci"]
    assert coding_of_rows(evidence(NEITHER), "target") is CODINGS["canonical"]
    assert coding_of_rows(evidence(NEITHER)) is None
