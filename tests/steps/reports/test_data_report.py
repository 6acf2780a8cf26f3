"""The account of preprocessing can be read, and its figures are the report's."""

import re
from pathlib import Path

import pytest

from clinical.archive import open_source
from clinical.preparation import Prepared, prepare
from clinical.schema import FEATURES
from steps.reports.data_report import draw
from tests.steps.reports.html import pictures, plain, require_standing_alone


@pytest.fixture(scope="module")
def prepared(data_dir: Path) -> Prepared:
    return prepare(data_dir / "kaggle_heart_1025.csv", "kaggle_heart_1025.csv")


@pytest.fixture(scope="module")
def page(prepared: Prepared) -> str:
    return draw(prepared.report, prepared.frame)


def test_the_counts_of_the_report_can_be_read(page: str) -> None:
    text = plain(page)
    for part in (
        "rows read 1,025", "patients kept 302", "rows dropped 723", "with disease 45.7 %",
        "female 96 24 25.0 %", "male 206 114 55.3 %", "copies of another row 723",
        "disease = 1 - target", "ca: 18 numbers", "4 1.3 %",
    ):  # fmt: skip
        assert part in text


def test_numbers_and_names_come_from_the_report_and_are_escaped(prepared: Prepared) -> None:
    changed = {"rows": {"read": 98_765, "kept": 4_321}, "file": "<b>&.csv", "converted": ["<i>"]}
    page = draw(prepared.report | changed, prepared.frame)
    for text in ("98,765", "4,321", "&lt;b&gt;&amp;.csv"):
        assert text in page
    assert "<i>" not in page


def test_every_feature_has_a_picture_with_a_description(page: str) -> None:
    for feature, picture in zip(FEATURES, pictures(page), strict=True):
        assert picture.get("aria-label") == f"{feature.title} by outcome"
        assert picture.get("role") == "img"
        words = " ".join(picture.itertext())
        assert all(word in words for word in feature.codes.values())


def test_the_page_stands_alone_in_its_own_colours_and_is_the_same_each_time(
    prepared: Prepared, page: str
) -> None:
    require_standing_alone(page)
    assert "currentColor" in page
    assert not re.search(r"#0[123]0[123]0[123]|#000000", page)
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    assert draw(prepared.report, prepared.frame) == page


def test_a_column_that_nobody_knows_is_drawn_too(uci_zip: Path) -> None:
    name = "processed.switzerland.data"
    prepared = prepare(open_source(uci_zip)[name], name)
    page = draw(prepared.report, prepared.frame)
    assert f"{len(prepared.frame)} unknown" in page
    assert "lacking trestbps" in page
