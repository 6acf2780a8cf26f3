"""The card of a model as `train` makes it, in both its forms."""

from __future__ import annotations

import copy
import re
from html import unescape
from typing import Any

import pytest

from clinical.schema import FEATURES
from risk_model.card import rendering
from risk_model.card.wording import between
from risk_model.metadata import Metadata

Facts = dict[str, Any]


@pytest.fixture
def uci(facts: Facts) -> Facts:
    """Return the metadata of a model as if it had been trained on the UCI patients."""
    return {**facts, "data": {**facts["data"], "source": "uci"}}


def as_markdown(stated: dict[str, Any]) -> str:
    return rendering.as_markdown(Metadata.of(stated))


def as_html(stated: dict[str, Any]) -> str:
    return rendering.as_html(Metadata.of(stated))


def plain(html: str) -> str:
    """Return the words of a page or of Markdown, one space between them."""
    body = re.sub(r"<style>.*?</style>|<svg.*?</svg>", " ", html, flags=re.DOTALL)
    return " ".join(re.sub(r"[^\w.%]+", " ", unescape(re.sub(r"<[^>]*>", " ", body))).split())


def test_both_forms_say_the_same(uci: Facts) -> None:
    page = plain(as_html(uci))
    sentences = [
        plain(line)
        for line in as_markdown(uci).splitlines()
        if line[:1].isalpha() or line.startswith(("#", "- "))
    ]
    assert len(sentences) > 60
    assert [sentence for sentence in sentences if sentence not in page] == []


def test_it_tells_data_licence_use_limits_and_what_is_not_known(uci: Facts) -> None:
    text = as_markdown(uci)
    for words in (
        "Cleveland", "CC BY 4.0", "10.24432/C52P4X", "no medical device", "Screening",
        "Future disease", "One hospital", "issues of", "eligibility criteria are unknown",
        "Riley's criteria ask for", "consent: not stated", "Funding", "registration: none is known",
        "Participation of patients", "1983 to 1987", "read the angiograms",
    ):  # fmt: skip
        assert words in text, words


def test_the_cross_validated_figures_lead_each_with_its_interval(uci: Facts) -> None:
    text = as_markdown(uci)
    found = uci["out_of_fold"]["metrics"]
    for name in ("roc_auc", "brier", "observed_expected", "calibration_slope", "sensitivity"):
        assert between(found, name) in text
    short = text.partition("## In short")[2].partition("\n## ")[0]
    assert short.index(between(found, "roc_auc")) < short.index(between(uci["metrics"], "roc_auc"))
    for pattern in uci["unknown_patterns"]:
        if pattern["unknown"] in (["ca"], ["ca", "thal"], ["slope", "ca", "thal"]):
            words = f"| {', '.join(pattern['unknown'])} | {pattern['patients']} |"
            (line,) = (line for line in text.splitlines() if line.startswith(words))
            assert between(pattern["metrics"], "observed_expected", 2) in line


def test_every_group_and_hospital_has_its_calibration_and_risk_bands(uci: Facts) -> None:
    changed = copy.deepcopy(uci)
    changed["out_of_fold"]["groups"][0]["metrics"] = None
    text = as_markdown(changed)
    for group in changed["out_of_fold"]["groups"]:
        assert f"| {group['group']} | {group['patients']} |" in text
    assert "too few" in text
    assert "is not judged by the gate" in text
    (site,) = changed["elsewhere"]
    for name in ("calibration_intercept", "observed_expected", "calibration_slope"):
        assert between(site["metrics"], name, 2) in text
    seen = site["risk_bands"][2]["observed"]
    assert f"| High: 70 to 100 % | {seen['patients']} |" in text
    alone = as_markdown({**uci, "elsewhere": []})
    assert "Not tried on patients of any other hospital" in alone


def test_treating_by_the_model_is_compared_with_treating_everybody(uci: Facts) -> None:
    found = uci["out_of_fold"]
    share = found["diseased"] / found["patients"]
    everybody = share - (1 - share) * 0.2 / 0.8
    row = f"| 20 % | {between(found['metrics'], 'net_benefit_20')} | {everybody:.3f} |"
    assert row in as_markdown(uci)


def test_a_synthetic_model_says_so_before_anything_else(facts: Facts) -> None:
    text = as_markdown(facts)
    assert "SYNTHETIC" in text.partition("**How good.**")[0]
    assert "Cleveland Clinic" not in text


def test_importance_is_listed_in_words_and_order(uci: Facts) -> None:
    text = as_markdown(uci).partition("## What moves its answers")[2]
    rows = re.findall(r"^\| ([^|]+) \| ([\d.]+) \|$", text.partition("\n## ")[0], re.M)
    points = [float(value) for _, value in rows]
    assert points == sorted(points, reverse=True)
    assert {title for title, _ in rows} == {feature.title for feature in FEATURES}


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing(uci: Facts) -> None:
    page = as_html(uci)
    assert not re.search(r"<script|<link|<img|src=|@import|url\(|style=", page)


def test_no_path_of_a_machine_is_on_the_card(uci: Facts) -> None:
    known = {**uci, "parameters": {**uci["parameters"], "data": "/home/somebody/patients.csv"}}
    assert "somebody" not in as_markdown(known) + as_html(known)


@pytest.mark.parametrize(("slope", "words"), [
    (float("nan"), "undefined"), (1.44, "too close to the middle (calibration slope 1.44)"),
    (0.6, "too extreme (calibration slope 0.60)"),
])  # fmt: skip
def test_a_model_whose_probabilities_are_off_says_so(uci: Facts, slope: float, words: str) -> None:
    changed = copy.deepcopy(uci)
    changed["out_of_fold"]["metrics"]["calibration_slope"] = slope
    assert words in as_markdown(changed)
    assert plain(words) in plain(as_html(changed))
