"""The four hospitals of the UCI archive, as they are known to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from clinical.errors import DataError
from clinical.hospitals import TITLES, Cohort, read_cohort, read_cohorts, site_of
from clinical.schema import LABEL


@pytest.fixture(scope="module")
def cohorts(uci_zip: Path) -> dict[str, Cohort]:
    return {cohort.site: cohort for cohort in read_cohorts(uci_zip)}


def test_the_archive_holds_all_four(cohorts: dict[str, Cohort]) -> None:
    assert list(cohorts) == list(TITLES)


@pytest.mark.parametrize(("site", "read", "prevalence"), [
    ("cleveland", 303, 0.459), ("hungarian", 294, 0.36), ("switzerland", 123, 0.93),
    ("va", 200, 0.745),
])  # fmt: skip
def test_each_has_the_patients_that_are_known(
    cohorts: dict[str, Cohort], site: str, read: int, prevalence: float
) -> None:
    cohort = cohorts[site]
    assert cohort.read == read
    assert read - 1 <= len(cohort.patients) <= read
    assert cohort.patients[LABEL.name].mean() == pytest.approx(prevalence, abs=0.006)


def test_what_they_lack_is_told(cohorts: dict[str, Cohort]) -> None:
    assert cohorts["cleveland"].mostly_missing == []
    assert cohorts["hungarian"].mostly_missing == ["slope", "ca", "thal"]
    assert cohorts["switzerland"].mostly_missing == ["chol", "fbs", "ca"]
    assert cohorts["va"].mostly_missing == ["slope", "ca", "thal"]
    for site in ("hungarian", "switzerland", "va"):
        assert cohorts[site].missing["ca"] >= 0.955
        assert 0.42 <= cohorts[site].missing["thal"] <= 0.91
    assert cohorts["switzerland"].missing["chol"] == 1


def test_a_file_of_its_own_is_known_by_its_name_alone() -> None:
    assert site_of("folder/processed.va.data") == "va"
    assert site_of("va.csv") == site_of("processed.data") == site_of("processed.paris.data") == ""


def test_other_files_are_no_hospitals(tmp_path: Path) -> None:
    path = tmp_path / "heart.csv"
    path.write_text("age,sex\n1,2\n")
    assert read_cohorts(path) == []


def test_patients_without_an_outcome_are_left_out_and_copies_too() -> None:
    rows = ["60,1,4,130,206,0,2,132,1,2.4,2,2,7,4", "60,1,4,130,206,0,2,132,1,2.4,2,2,7,4"]
    rows += ["41,0,2,130,204,0,2,172,0,1.4,1,0,3,0", "50,1,3,120,219,0,0,158,0,1.6,2,0,3,?"]
    found = read_cohort("\n".join(rows).encode(), "some.data")
    assert (found.site, found.read, len(found.patients)) == ("data", 4, 2)


def test_patients_of_one_outcome_can_measure_nothing() -> None:
    row = b"60,1,4,130,206,0,2,132,1,2.4,2,2,7,4\n"
    with pytest.raises(DataError, match="not both outcomes"):
        read_cohort(row, "some.data")


def test_patients_without_any_label_are_refused() -> None:
    header = b"age,sex,cp,trestbps,chol,fbs,restecg,thalach,exang,oldpeak,slope,ca,thal\n"
    with pytest.raises(DataError, match="has no label"):
        read_cohort(header + b"60,1,0,130,206,0,0,132,1,2.4,1,2,3\n", "some.csv")
