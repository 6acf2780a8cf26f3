"""What the card says of the hospitals is counted in the archive's complete files."""

import statistics
import zipfile
from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from risk_model.card.studies import STUDIES, Study

COLUMNS = 76
DRUGS = {"beta_blocker": 24, "nitrate": 25, "calcium_blocker": 26, "digitalis": 23}
TEST, ANGIOGRAM = (22, 20, 21), (57, 55, 56)
"""Year, month and day, as the archive numbers its columns."""


def records(archive: Path, file: str) -> list[list[str]]:
    """Return the records that are whole; each ends with the word name."""
    text = zipfile.ZipFile(archive).read(file).decode("latin-1")
    found = [part.split() for part in text.split("name")]
    return [["", *record] for record in found if len(record) == COLUMNS - 1]


def dated(record: list[str], columns: tuple[int, ...]) -> date | None:
    try:
        year, month, day = (int(record[column]) for column in columns)
        return date(1900 + year, month, day)
    except ValueError:
        return None


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.title)
def test_years_days_and_drugs_are_those_of_the_archive(uci_zip: Path, study: Study) -> None:
    rows = records(uci_zip, study.file)
    assert len(rows) >= 123
    both = [(dated(row, TEST), dated(row, ANGIOGRAM)) for row in rows]
    years = Counter(angiogram.year for _, angiogram in both if angiogram)
    often = [year for year, count in years.items() if count > 1]
    assert (min(often), max(often)) == (study.first, study.last)
    days = [(second - first).days for first, second in both if first and second]
    assert statistics.median(days) == study.days
    for name, column in DRUGS.items():
        taken = [float(row[column]) for row in rows if float(row[column]) in (0, 1)]
        assert round(100 * statistics.mean(taken)) == getattr(study, name), name
