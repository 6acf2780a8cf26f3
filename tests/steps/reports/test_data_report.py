from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from clinical.archive import open_source
from clinical.preparation import Prepared, prepare
from clinical.schema import FEATURES
from steps.reports.data_report import draw


@pytest.fixture(scope="module")
def prepared(data_dir: Path) -> Prepared:
    return prepare(data_dir / "kaggle_heart_1025.csv", "kaggle_heart_1025.csv")


@pytest.fixture(scope="module")
def page(prepared: Prepared) -> str:
    return draw(prepared.report, prepared.frame)


class Text(HTMLParser):
    """What a reader sees, and every attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self._hidden = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden = tag == "style"
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)


def read(page: str) -> Text:
    parser = Text()
    parser.feed(page)
    return parser


def test_the_counts_of_the_report_can_be_read(page: str) -> None:
    text = " ".join(" ".join(read(page).words).split())
    for part in (
        "rows read 1,025",
        "patients kept 302",
        "rows dropped 723",
        "with disease 45.7 %",
        "female 96 24 25.0 %",
        "male 206 114 55.3 %",
        "copies of another row 723",
        "disease = 1 - target",
        "ca: 18 numbers",
        "4 1.3 %",
    ):
        assert part in text


def test_numbers_come_from_the_report_and_not_from_the_frame(prepared: Prepared) -> None:
    report = {**prepared.report, "rows": {"read": 98_765, "kept": 4_321}}
    text = " ".join(read(draw(report, prepared.frame)).words)
    assert "98,765" in text
    assert "4,321" in text


def test_every_feature_has_a_picture_with_a_description(page: str) -> None:
    pictures = re.findall(r"<svg .*?</svg>", page, flags=re.DOTALL)
    assert len(pictures) == len(FEATURES)
    for feature, picture in zip(FEATURES, pictures, strict=True):
        root = ElementTree.fromstring(picture)
        assert root.get("aria-label") == f"{feature.title} by outcome"
        assert root.get("role") == "img"
        words = " ".join(root.itertext())
        assert all(word in words for word in feature.codes.values())


def test_nothing_is_fetched_from_elsewhere(page: str) -> None:
    names = {"src", "href", "xlink:href", "srcset", "action", "data"}
    links = [value for name, value in read(page).attributes if name in names]
    assert all(value is not None and value.startswith("#") for value in links)
    assert "<script" not in page
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_ids_are_unique_and_what_is_referred_to_exists(page: str) -> None:
    ids = [value for name, value in read(page).attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', page)) <= set(ids)


def test_colours_are_those_of_the_page(page: str) -> None:
    assert "currentColor" in page
    assert not re.search(r"#0[123]0[123]0[123]|#000000", page)
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


def test_the_same_data_give_the_same_page(prepared: Prepared, page: str) -> None:
    assert draw(prepared.report, prepared.frame) == page


def test_names_are_escaped(prepared: Prepared) -> None:
    report = {**prepared.report, "file": "<b>&.csv", "converted": ["<i>"]}
    page = draw(report, prepared.frame)
    assert "&lt;b&gt;&amp;.csv" in page
    assert "<i>" not in page


def test_a_column_that_nobody_knows_is_drawn_too(uci_zip: Path) -> None:
    name = "processed.switzerland.data"
    prepared = prepare(open_source(uci_zip)[name], name)
    page = draw(prepared.report, prepared.frame)
    assert f"{len(prepared.frame)} unknown" in page
    assert "lacking trestbps" in page
