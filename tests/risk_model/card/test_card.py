"""The card says what a model has metadata for, and leaves out what an earlier release lacked."""

from typing import Any

import pytest

from risk_model.card import rendering
from risk_model.card.charts import Scale
from risk_model.card.wording import MEASURES, between, comparison
from risk_model.metadata import Metadata
from tests.serving import forge

OLD: dict[str, Any] = forge.facts(
    metrics={
        "roc_auc": 0.904, "roc_auc_ci_low": 0.85, "roc_auc_ci_high": 0.95,
        "recall": 0.8, "recall_ci_low": 0.7, "recall_ci_high": 0.9,
        "cv_roc_auc_mean": 0.9, "cv_roc_auc_std": 0.04,
    },
    risk_bands=[{"level": "Low", "from": 0.0}, {"level": "High", "from": 0.7}],
)  # fmt: skip


def as_markdown(stated: dict[str, Any]) -> str:
    return rendering.as_markdown(Metadata.of(stated))


def as_html(stated: dict[str, Any]) -> str:
    return rendering.as_html(Metadata.of(stated))


def section(text: str, heading: str) -> str:
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_an_older_models_card_has_what_is_known_of_it() -> None:
    text = as_markdown(OLD)
    figures = section(text, "Performance")
    assert "| ROC AUC | 0.904 (0.850 to 0.950) |" in figures
    assert "| sensitivity at 0.5 | 0.800 (0.700 to 0.900) |" in figures
    rows = [line.split(" | ")[0] for line in figures.splitlines() if line.startswith("| ")]
    assert {row.removeprefix("| ") for row in rows} <= {*MEASURES.values(), "measure", "---"}
    assert "| Low: 0 to 70 % | 0 | too few |" in section(text, "Risk bands")
    assert "does not carry its cross-validated figures" in section(text, "In short")
    missing = {"Groups of patients", "Other hospitals", "What moves its answers"}
    assert set(rendering.lacking(Metadata.of(OLD))) == missing
    assert not any(f"## {heading}" in text for heading in missing)


def test_nothing_known_still_says_what_it_is_not_for() -> None:
    text = as_markdown({})
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["## What it is not for"]
    assert "medical device" in text


@pytest.mark.parametrize(("source", "words"), [
    ("uci", "forty years ago"), ("synthetic", "SYNTHETIC"), ("file", "who know them"),
])  # fmt: skip
def test_what_is_said_of_the_patients_is_said_of_these(source: str, words: str) -> None:
    text = as_markdown({**OLD, "data": {**OLD["data"], "source": source}})
    assert words in section(text, "Limits")
    referred = "referred for coronary angiography, at the Cleveland Clinic from 1981 to 1984; 46 %"
    assert (referred in section(text, "In short")) == (source == "uci")
    assert ("Beta blocker" in text or "beta blocker" in text) == (source == "uci")


@pytest.mark.parametrize(("name", "told", "untold"), [
    ("random_forest", "max_depth 5", "C 1.0"), ("logistic_regression", "C 1.0", "max_depth"),
])  # fmt: skip
def test_parameters_that_a_model_has_no_use_for_are_not_told(
    name: str, told: str, untold: str
) -> None:
    parameters = {"model": name, "n_estimators": 100, "max_depth": 5, "C": 1.0}
    text = as_markdown({**OLD, "name": name, "parameters": parameters})
    assert told in text
    assert untold not in text


@pytest.mark.parametrize("value", ["<script>", "a & b", "it's"])
def test_values_are_escaped_in_the_page_and_in_no_file(value: str) -> None:
    known = {**OLD, "label": value}
    page = as_html(known)
    assert value not in page.partition("<body>")[2]
    assert value in as_markdown(known)


def test_what_was_not_taken_is_a_dash_and_what_is_undefined_says_so() -> None:
    assert between({}, "brier") == "-"
    assert between({"brier": float("nan")}, "brier") == "undefined"
    assert between({"brier": None}, "brier") == "undefined"  # type: ignore[dict-item]
    assert between({"brier": 0.12345}, "brier") == "0.123"


def test_a_terminal_shows_the_cross_validated_figures_before_the_held_out_ones() -> None:
    lines = comparison({"cross-validated": {"brier": 0.1}, "held out": {"recall": 0.8}})
    assert lines[0].split() == ["cross-validated", "held", "out"]
    assert "  Brier score          0.100                  -" in lines
    assert any(line.endswith("-                      0.800") for line in lines)


def test_a_value_beyond_a_scale_stands_at_its_end_and_a_ratio_in_the_middle_at_1() -> None:
    scale = Scale(0.5, 2, 1, ratio=True)
    assert [scale.place(value) for value in (0, 0.5, 1, 2, 9)] == pytest.approx(
        [0, 0, 50, 100, 100]
    )
