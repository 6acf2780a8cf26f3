"""The four hospitals of the UCI archive, as they are known to be."""

from pathlib import Path

import pytest

from clinical.errors import DataError
from clinical.hospitals import TITLES, Cohort, read_cohort, read_cohorts, site_of
from clinical.schema import LABEL
from tests.clinical.patient_files import SICK_UCI, WELL_UCI, csv_bytes, labelled


@pytest.fixture(scope="module")
def cohorts(uci_zip: Path) -> dict[str, Cohort]:
    return {cohort.site: cohort for cohort in read_cohorts(uci_zip)}


@pytest.mark.parametrize(("site", "read", "prevalence", "lacking"), [
    ("cleveland", 303, 0.459, ""), ("hungarian", 294, 0.36, "slope ca thal"),
    ("switzerland", 123, 0.93, "chol fbs ca"), ("va", 200, 0.745, "slope ca thal"),
])  # fmt: skip
def test_each_has_the_patients_that_are_known_and_lacks_what_is_known(
    cohorts: dict[str, Cohort], site: str, read: int, prevalence: float, lacking: str
) -> None:
    assert list(cohorts) == list(TITLES)
    cohort = cohorts[site]
    assert cohort.read == read
    assert read - 1 <= len(cohort.patients) <= read
    assert cohort.patients[LABEL.name].mean() == pytest.approx(prevalence, abs=0.006)
    assert cohort.mostly_missing == lacking.split()
    if site != "cleveland":
        assert cohort.missing["ca"] >= 0.955
        assert 0.42 <= cohort.missing["thal"] <= 0.91
    assert cohorts["switzerland"].missing["chol"] == 1


def test_a_file_of_its_own_is_known_by_its_name_alone_and_others_are_no_hospitals(
    tmp_path: Path,
) -> None:
    (tmp_path / "heart.csv").write_text("age,sex\n1,2\n")
    assert read_cohorts(tmp_path / "heart.csv") == []
    assert site_of("folder/processed.va.data") == "va"
    assert site_of("va.csv") == site_of("processed.data") == site_of("processed.paris.data") == ""


def test_patients_without_an_outcome_are_left_out_and_copies_too() -> None:
    rows = [SICK_UCI, SICK_UCI, WELL_UCI, labelled(WELL_UCI, "?")]
    found = read_cohort(csv_bytes(rows, header=False), "some.data")
    assert (found.site, found.read, len(found.patients)) == ("data", 4, 2)


@pytest.mark.parametrize(("content", "words"), [
    (csv_bytes([SICK_UCI], header=False), "not both outcomes"),
    (csv_bytes([SICK_UCI[:-1], WELL_UCI[:-1]]), "has no label"),
])  # fmt: skip
def test_patients_without_both_outcomes_can_measure_nothing(content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_cohort(content, "some.data")
