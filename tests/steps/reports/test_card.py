"""The card of a model as `train` makes it, in both its forms."""

import copy
import re
from typing import Any

import pytest

from risk_model.card import rendering
from risk_model.card.wording import between
from risk_model.metadata import Metadata
from tests.steps.reports.html import plain, require_standing_alone

Facts = dict[str, Any]


@pytest.fixture
def uci(facts: Facts) -> Facts:
    """Return the metadata of a model as if it had been trained on the UCI patients."""
    return {**facts, "data": {**facts["data"], "source": "uci"}}


def as_markdown(stated: dict[str, Any]) -> str:
    return rendering.as_markdown(Metadata.of(stated))


def as_html(stated: dict[str, Any]) -> str:
    return rendering.as_html(Metadata.of(stated))


def words(text: str) -> str:
    """Return the words of a page or of Markdown, without its marks."""
    return " ".join(re.sub(r"[^\w.%]+", " ", plain(text)).split())


def test_both_forms_say_the_same(uci: Facts) -> None:
    page = words(as_html(uci))
    sentences = [
        words(line)
        for line in as_markdown(uci).splitlines()
        if line[:1].isalpha() or line.startswith(("#", "- "))
    ]
    assert len(sentences) > 60
    assert [sentence for sentence in sentences if sentence not in page] == []


def test_it_tells_data_licence_use_limits_and_what_is_not_known(uci: Facts) -> None:
    text = as_markdown(uci)
    for told in (
        "Cleveland", "CC BY 4.0", "10.24432/C52P4X", "no medical device", "Screening",
        "Future disease", "One hospital", "issues of", "eligibility criteria are unknown",
        "Riley's criteria ask for", "consent: not stated", "Funding", "registration: none is known",
        "Participation of patients", "1983 to 1987", "read the angiograms",
    ):  # fmt: skip
        assert told in text, told


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


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing(uci: Facts) -> None:
    page = as_html(uci)
    require_standing_alone(page)
    assert "style=" not in page


def test_no_path_of_a_machine_is_on_the_card(uci: Facts) -> None:
    known = {**uci, "parameters": {**uci["parameters"], "data": "/home/somebody/patients.csv"}}
    assert "somebody" not in as_markdown(known) + as_html(known)


@pytest.mark.parametrize(("slope", "told"), [
    (float("nan"), "undefined"), (1.44, "too close to the middle (calibration slope 1.44)"),
    (0.6, "too extreme (calibration slope 0.60)"),
])  # fmt: skip
def test_a_model_whose_probabilities_are_off_says_so(uci: Facts, slope: float, told: str) -> None:
    changed = copy.deepcopy(uci)
    changed["out_of_fold"]["metrics"]["calibration_slope"] = slope
    assert told in as_markdown(changed)
    assert words(told) in words(as_html(changed))
