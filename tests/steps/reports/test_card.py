"""The model card says what a reader must know, from the model's own facts, in both forms."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from clinical.schema import FEATURES
from risk_model import card
from risk_model.blocks import Table
from risk_model.wording import between
from steps.reports.card import as_html
from steps.runs import files

Facts = dict[str, Any]


@pytest.fixture
def uci(facts: Facts) -> Facts:
    """Return the facts of a model as if it had been trained on the UCI patients."""
    return {**facts, "data": {**facts["data"], "source": "uci"}}


def plain(html: str) -> str:
    body = html.partition("<body>")[2]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body)).replace("&gt;", ">")


def test_both_forms_say_the_same(uci: Facts) -> None:
    page, text = plain(as_html(uci)), card.as_markdown(uci)
    for heading, blocks in card.sections(uci).items():
        assert f"## {heading}" in text
        assert heading in page
        for block in blocks:
            if isinstance(block, str):
                assert block in text
                assert block in page


def test_it_tells_data_licence_use_limits_and_contact(uci: Facts) -> None:
    text = card.as_markdown(uci)
    for words in ("Cleveland", "CC BY 4.0", "10.24432/C52P4X", "no medical device", "Screening",
                  "Future risk", "One hospital", "issues of"):  # fmt: skip
        assert words in text


def test_it_states_every_measure_with_its_interval(uci: Facts) -> None:
    text = card.as_markdown(uci)
    found = uci["out_of_fold"]["metrics"]
    for name in ("roc_auc", "brier", "calibration_slope", "sensitivity"):
        assert between(found, name) in text
    for pattern in uci["unknown_patterns"]:
        if pattern["unknown"] in (["ca"], ["ca", "thal"], ["slope", "ca", "thal"]):
            assert f"| {', '.join(pattern['unknown'])} | {pattern['patients']} |" in text
            assert between(pattern["metrics"], "observed_expected", 2) in text
    for band in uci["risk_bands"]:
        assert f"| {band['level']} |" in text


def test_it_tells_of_every_group_even_where_it_says_nothing(uci: Facts) -> None:
    changed = copy.deepcopy(uci)
    changed["out_of_fold"]["groups"][0]["metrics"] = None
    text = card.as_markdown(changed)
    for group in changed["out_of_fold"]["groups"]:
        assert f"| {group['group']} | {group['patients']} |" in text
    assert "too few" in text


def test_it_names_the_other_hospitals_or_that_there_are_none(uci: Facts) -> None:
    assert "| Elsewhere | 60 |" in card.as_markdown(uci)
    assert "Not tried on patients of any other hospital" in card.as_markdown(
        uci | {"elsewhere": []}
    )


def test_a_synthetic_model_says_so_before_anything_else_of_its_limits(facts: Facts) -> None:
    text = card.as_markdown(facts)
    assert text.count("SYNTHETIC") >= 2
    assert "Cleveland Clinic" not in text


def test_importance_is_listed_in_words_and_order(uci: Facts) -> None:
    (table,) = card.sections(uci)["What moves its answers"]
    assert isinstance(table, Table)
    points = [float(row[1]) for row in table.rows]
    assert points == sorted(points, reverse=True)
    assert {row[0] for row in table.rows} == {feature.title for feature in FEATURES}


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing(uci: Facts) -> None:
    page = as_html(uci)
    assert not re.search(r"<script|<link|<img|src=|@import|url\(", page)


def test_no_path_of_a_machine_is_on_the_card(uci: Facts) -> None:
    known = {**uci, "parameters": {**uci["parameters"], "data": "/home/somebody/patients.csv"}}
    assert "somebody" not in card.as_markdown(known) + as_html(known)


def test_an_undefined_measure_is_called_so(uci: Facts) -> None:
    changed = copy.deepcopy(uci)
    changed["out_of_fold"]["metrics"]["calibration_slope"] = float("nan")
    assert "undefined" in card.as_markdown(changed)
    assert "NaN" not in files.as_json(changed)


def test_a_trained_model_whose_probabilities_are_off_says_so(uci: Facts) -> None:
    changed = copy.deepcopy(uci)
    changed["out_of_fold"]["metrics"]["calibration_slope"] = 1.44
    assert "too timid (calibration slope 1.44)" in card.as_markdown(changed)
    changed["out_of_fold"]["metrics"]["calibration_slope"] = 0.6
    assert "too extreme (calibration slope 0.60)" in card.as_markdown(changed)
