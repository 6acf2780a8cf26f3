"""The verdict: an alarm for what matters, a warning for what does not, and never on too little."""

from typing import Any

import pytest

from steps.monitoring import alarms
from steps.monitoring.calibration import judge
from steps.monitoring.drift import Drift

NONE, LARGE, SMALL = (Drift(0.05, 0.04, 0.4), Drift(0.5, 0.04, 0.0005, True),
                      Drift(0.06, 0.04, 0.0005, True))  # fmt: skip


def stated(value: float, low: float, high: float) -> dict[str, float | None]:
    name = "calibration_intercept"
    return {name: value, f"{name}_ci_low": low, f"{name}_ci_high": high}


def judged(value: float) -> list[dict[str, Any]]:
    found = stated(value, value - 0.3, value + 0.3)
    return [judge("calibration_intercept", found, stated(0, -0.3, 0.3))]  # type: ignore[arg-type]


@pytest.mark.parametrize(("log", "drifts", "outcomes", "word", "reason"), [
    ((200, "rows"), {"age": NONE, "probability": NONE}, [], "ok", "no drift beyond chance"),
    ((200, "rows"), {"age": NONE}, judged(0.3), "ok", "calibration is what the card states"),
    ((200, "rows"), {"age": SMALL}, [], "warning", "hardly matters: data drift of age (PSI 0.06)"),
    ((200, "rows"), {"age": LARGE, "probability": LARGE}, [], "alarm",
     "data drift of age (PSI 0.50); prediction drift (PSI 0.50)"),
    ((200, "rows"), dict.fromkeys(("age", "chol", "ca", "thal", "cp"), LARGE), [], "alarm",
     "and 2 more"),
    ((200, "rows"), {"age": NONE}, judged(1.2), "alarm", "intercept is 1.20, the card states 0.00"),
    ((40, "rows"), {"age": LARGE}, [], "insufficient", "fewer than 50 patients"),
    ((40, "rows"), {"age": LARGE}, judged(-1.2), "alarm", "intercept is -1.20"),
    ((200, "rows"), None, [], "insufficient", "no baseline"),
    ((499, "profile"), {"age": LARGE}, [], "insufficient", "fewer than 500 patients"),
])  # fmt: skip
def test_the_verdict_and_its_reason(
    log: tuple[int, str], drifts: dict[str, Drift] | None, outcomes: list[dict[str, Any]],
    word: str, reason: str,
) -> None:  # fmt: skip
    verdict = alarms.judge(*log, drifts, outcomes)
    assert verdict.word == word
    assert reason in verdict.reason
    assert "\n" not in verdict.reason


@pytest.mark.parametrize(("word", "warning", "alarm"), [
    ("ok", False, False), ("insufficient", False, False), ("warning", True, False),
    ("alarm", True, True),
])  # fmt: skip
def test_which_verdicts_fail_a_step(word: str, warning: bool, alarm: bool) -> None:
    verdict = alarms.Verdict(word, "")
    assert (verdict.is_at_least("warning"), verdict.is_at_least("alarm")) == (warning, alarm)


def test_what_the_card_does_not_state_for_sure_is_not_left() -> None:
    name = "calibration_intercept"
    assert not judge(name, stated(2, 1, 3), {name: None})["left"]  # type: ignore[arg-type]
    assert not judge(name, stated(2, 1, 3), {name: 0.0})["left"]  # type: ignore[arg-type]
