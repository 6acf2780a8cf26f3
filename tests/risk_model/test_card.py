"""The card says what a model has facts for, and leaves out what an earlier release did not note."""

from __future__ import annotations

from typing import Any

import pytest

from risk_model import card
from risk_model.blocks import Points, Table, as_markdown
from risk_model.wording import MEASURES, between

OLD: dict[str, Any] = {
    "name": "random_forest",
    "trained_at": "2026-01-02T03:04:05+00:00",
    "run_id": "0" * 32,
    "label": "1 = disease",
    "parameters": {"n_estimators": 100},
    "data": {
        "source": "uci",
        "digest": "d" * 64,
        "rows": {"train": 242, "test": 61},
        "prevalence": 0.459,
    },
    "metrics": {
        "roc_auc": 0.904, "roc_auc_ci_low": 0.85, "roc_auc_ci_high": 0.95,
        "recall": 0.8, "recall_ci_low": 0.7, "recall_ci_high": 0.9,
        "cv_roc_auc_mean": 0.9, "cv_roc_auc_std": 0.04,
    },
    "risk_bands": [{"level": "Low", "from": 0.0}, {"level": "High", "from": 0.7}],
    "git": {"commit": None, "dirty": False},
}  # fmt: skip


def test_an_older_models_card_has_what_is_known_of_it() -> None:
    text = card.as_markdown(OLD)
    assert "| ROC AUC | 0.904 (0.850 to 0.950) |" in text
    assert "| Low | 0 to 70 % | - | - |" in text
    assert "cross-validated" not in card.as_markdown(OLD).partition("## Performance")[0]
    assert set(card.lacking(OLD)) == {
        "Groups of patients", "Other hospitals", "What moves its answers",
    }  # fmt: skip
    assert not set(card.lacking(OLD)) & set(card.sections(OLD))


def test_folds_are_no_rows_of_the_performance() -> None:
    table = card.sections(OLD)["Performance"][0]
    assert isinstance(table, Table)
    assert {row[0] for row in table.rows} <= set(MEASURES.values())


def test_the_recall_of_the_ill_is_called_sensitivity() -> None:
    assert "| sensitivity at 0.5 | 0.800 (0.700 to 0.900) |" in card.as_markdown(OLD)


def test_nothing_known_still_says_what_it_is_not_for() -> None:
    assert list(card.sections({})) == ["What it is for", "What it is not for"]
    assert "medical device" in card.as_markdown({})


@pytest.mark.parametrize(("source", "words"), [
    ("uci", "forty years ago"), ("synthetic", "SYNTHETIC"), ("file", "who know them"),
])  # fmt: skip
def test_the_limits_are_those_of_the_patients(source: str, words: str) -> None:
    found = card.sections({**OLD, "data": {**OLD["data"], "source": source}})["Limits"]
    assert words in as_markdown(found[0])


@pytest.mark.parametrize(("source", "told"), [("uci", True), ("synthetic", False), ("file", False)])
def test_only_real_patients_of_cleveland_make_it_read_for_patients_like_them(
    source: str, told: bool
) -> None:
    facts = {**OLD, "data": {**OLD["data"], "source": source}}
    assert ("adults of the 1980s" in as_markdown(card.sections(facts)["What it is for"][0])) == told


@pytest.mark.parametrize(("name", "told", "untold"), [
    ("random_forest", "max_depth 5", "C 1.0"), ("logistic_regression", "C 1.0", "max_depth"),
])  # fmt: skip
def test_parameters_that_a_model_has_no_use_for_are_not_told(
    name: str, told: str, untold: str
) -> None:
    parameters = {"model": name, "n_estimators": 100, "max_depth": 5, "C": 1.0}
    text = card.as_markdown({**OLD, "name": name, "parameters": parameters})
    assert told in text
    assert untold not in text


def test_what_was_not_taken_is_a_dash_and_what_is_undefined_says_so() -> None:
    assert between({}, "brier") == "-"
    assert between({"brier": float("nan")}, "brier") == "undefined"
    assert between({"brier": None}, "brier") == "undefined"  # type: ignore[dict-item]
    assert between({"brier": 0.12345}, "brier") == "0.123"


def test_blocks_are_written_as_markdown() -> None:
    assert as_markdown("Words.") == "Words."
    assert as_markdown(Points(("a", "b"))) == "- a\n- b"
    table = Table("About.", ("x", "y"), [("1", "2")])
    assert as_markdown(table) == "About.\n\n| x | y |\n| --- | --- |\n| 1 | 2 |"
