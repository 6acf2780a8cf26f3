"""The gate lets pass what is better, keeps what is as good, and rejects the rest."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from risk_model.measurements import Group
from steps.modelling import metrics
from steps.modelling.validation import cross_validated
from steps.registry import gate, rules, updates
from steps.registry.gate import Candidate, Champion, Decision
from steps.registry.rules import Pairs, Rule
from steps.runs.store import StepError
from tests.steps.conftest import Patients, build

LIMITS = gate.read_rules()
NAN = float("nan")


def population(n: int = 400) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Return patients, their labels, and probabilities that are right by the way they were made."""
    random = np.random.default_rng(5)
    patients = pd.DataFrame({"age": random.uniform(35, 75, n), "sex": np.arange(n) % 2})
    p = expit(random.normal(0, 2.5, n))
    return patients, (random.random(n) < p).astype(np.int8), p


PATIENTS, Y, GOOD = population()
WOMEN, YOUNG = (PATIENTS["sex"] == 0).to_numpy(), (PATIENTS["age"] < 50).to_numpy()
NOISE = np.random.default_rng(2).normal(0, 1, len(Y))


def noisy(p: np.ndarray, amount: float) -> np.ndarray:
    return np.asarray(expit(logit(p) + amount * NOISE))


def towards_truth(p: np.ndarray, amount: float) -> np.ndarray:
    return np.asarray(p + amount * (Y - p))


def figures(p: np.ndarray) -> dict[str, float]:
    return {name: float(value[0]) for name, value in metrics.scores(Y, p).items()}


def candidate(p: np.ndarray = GOOD, source: str = "uci", **held_out: float) -> Candidate:
    """Return a candidate with these probabilities, out of fold and held out."""
    measured = updates.measured(PATIENTS, Y, p)
    return Candidate(source, measured, figures(p) | held_out)


def champion(p: np.ndarray = GOOD, source: str = "uci", **changed: Any) -> Champion:
    """Return the champion beside a candidate with these probabilities."""
    pairs = Pairs(Y, p, GOOD)
    return dataclasses.replace(Champion("1", source, pairs, pairs), **changed)


def judged(p: np.ndarray = GOOD, **changed: Any) -> gate.Decision:
    return gate.judge(candidate(p), champion(p, **changed), LIMITS)


def broken(decision: gate.Decision) -> list[str]:
    return [rule.rule for rule in decision.rules if not rule.passed]


# --- a candidate by itself --------------------------------------------------------------------

FOOLS = {
    "every logit + 1": (lambda p: expit(logit(p) + 1), "calibration intercept, out of fold"),
    "every logit - 1": (lambda p: expit(logit(p) - 1), "calibration intercept, out of fold"),
    "all women at .55": (lambda p: np.where(WOMEN, 0.55, p), "ROC AUC, female"),
    "women's logits + 1.5": (
        lambda p: np.where(WOMEN, expit(logit(p) + 1.5), p), "calibration intercept, female"
    ),
    "all under 50 at .1": (lambda p: np.where(YOUNG, 0.1, p), "sensitivity, age under 50"),
    "all under 50 at .9": (lambda p: np.where(YOUNG, 0.9, p), "specificity, age under 50"),
    "slope .57": (lambda p: expit(logit(p) / 0.57), "calibration slope, out of fold"),
    "slope 1.95": (lambda p: expit(logit(p) / 1.95), "calibration slope, out of fold"),
    "women half as likely": (
        lambda p: np.where(WOMEN, 0.4 * p, p), "sensitivity, female, out of fold, at least 0.5"
    ),
    "the inverted label": (lambda p: 1 - p, "ROC AUC, held out"),
    "the prevalence for everybody": (lambda p: p * 0 + 0.45, "Brier score, held out"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOOLS)
@pytest.mark.parametrize("first", [True, False], ids=["first", "against a champion"])
def test_a_model_that_is_wrong_for_some_is_rejected(name: str, first: bool) -> None:
    spoil, rule = FOOLS[name]
    p = np.asarray(spoil(GOOD))
    decision = gate.judge(candidate(p), None if first else champion(towards_truth(p, 0.2)), LIMITS)
    assert decision.verdict == "rejected"
    assert any(found.startswith(rule) for found in broken(decision)), broken(decision)


@pytest.mark.parametrize("calibration", ["none", "sigmoid"])
@pytest.mark.parametrize("model", ["random_forest", "logistic_regression"])
def test_models_of_real_patients_pass(cleveland: Patients, model: str, calibration: str) -> None:
    recipe = build(model=model, calibration=calibration, n_estimators=30)
    features, y = cleveland
    p = cross_validated(recipe, features, y).probabilities
    some = slice(None, None, 5)
    held_out = {name: float(value[0]) for name, value in metrics.scores(y[some], p[some]).items()}
    contender = Candidate("uci", updates.measured(features, y, p), held_out)
    decision = gate.judge(contender, None, LIMITS)
    assert decision.verdict == "passed", gate.table(decision)


WHOLE = updates.measured(PATIENTS, Y, GOOD)
UNMEASURED = [
    {**{k: v for k, v in WHOLE.metrics.items() if k != name}, **undefined}
    for name in ("calibration_intercept", "calibration_slope")
    for undefined in ({}, {name: None})
]


@pytest.mark.parametrize("lacking", [
    {"out_of_fold": None}, {"held_out": {}}, {"held_out": {"roc_auc": NAN, "brier": NAN}},
    {"out_of_fold": WHOLE.model_copy(update={"groups": ()})},
    *({"out_of_fold": WHOLE.model_copy(update={"metrics": metrics})} for metrics in UNMEASURED),
])  # fmt: skip
def test_a_candidate_of_which_too_little_is_known_is_rejected(lacking: dict[str, Any]) -> None:
    decision = gate.judge(dataclasses.replace(candidate(), **lacking), None, LIMITS)
    assert decision.verdict == "rejected"
    assert not any(rule.candidate for rule in decision.rules if not rule.passed)
    json.dumps(dataclasses.asdict(decision), allow_nan=False)


@pytest.mark.parametrize(("figures", "verdict"), [
    ({"roc_auc": 0.75, "brier": 0.20}, "passed"),
    ({"roc_auc": 0.7499, "brier": 0.20}, "rejected"),
    ({"roc_auc": 0.75, "brier": 0.2001}, "rejected"),
])  # fmt: skip
def test_the_limits_themselves_are_good_enough(figures: dict[str, float], verdict: str) -> None:
    assert gate.judge(candidate(**figures), None, LIMITS).verdict == verdict


@pytest.mark.parametrize("women", [0, 15])
def test_a_group_of_fewer_than_10_patients_of_either_outcome_is_not_judged(women: int) -> None:
    keep = np.setdiff1d(np.arange(len(Y)), np.flatnonzero(WOMEN)[women:])
    measured = updates.measured(PATIENTS.iloc[keep], Y[keep], GOOD[keep])
    decision = gate.judge(Candidate("uci", measured, figures(GOOD)), None, LIMITS)
    assert decision.verdict == "passed"
    about = [rule for rule in decision.rules if "female" in rule.rule]
    assert [rule.candidate for rule in about] == ["not judged"]
    assert "not judged: female" in decision.reason
    assert "not judged" in gate.table(decision)


@pytest.mark.parametrize(("found", "diseased", "passed"), [
    (0.4, 25, True), (0.2, 25, False), (0.4, 2500, False), (0.5, 2500, True), (None, 25, False),
])  # fmt: skip
def test_a_share_of_few_patients_may_miss_its_limit_by_chance(
    found: float | None, diseased: int, passed: bool
) -> None:
    women = Group(group="female", patients=2 * diseased, diseased=diseased,
                  metrics={"sensitivity": found})  # fmt: skip
    men = women.model_copy(update={"group": "male", "metrics": None})
    (rule, _) = rules.within({}, {"sexes": {"sensitivity": 0.5}}, "out of fold", [women, men])
    assert rule.passed == passed


# --- against the champion ---------------------------------------------------------------------


@pytest.mark.parametrize(("p", "verdict", "words"), [
    (towards_truth(GOOD, 0.1), "passed", "better than the champion"),
    *((p, "kept", "the champion stays")
      for p in (GOOD, noisy(GOOD, 0.05), towards_truth(GOOD, 0.02))),
])  # fmt: skip
def test_a_better_model_passes_and_one_that_is_as_good_is_kept(
    p: np.ndarray, verdict: str, words: str
) -> None:
    decision = judged(p)
    assert (decision.verdict, decision.against) == (verdict, "1"), decision.reason
    assert decision.reason.endswith(words)
    assert broken(decision) == []


def test_a_worse_model_is_rejected_though_it_keeps_all_other_rules() -> None:
    worse = noisy(GOOD, 1)
    decision = gate.judge(candidate(), champion(worse), LIMITS)
    assert decision.verdict == "rejected"
    assert broken(decision)[0].startswith("Brier score, 400 patients, not worse")


def test_a_recipe_is_judged_on_all_patients_whatever_few_held_out_ones_say() -> None:
    few = slice(0, 60)
    held_out = Pairs(Y[few], towards_truth(GOOD, 0.3)[few], GOOD[few])
    decision = judged(GOOD, held_out=held_out, note="no folds are stored")
    assert decision.verdict == "kept"
    assert "; no folds are stored" in decision.reason
    shown = next(rule for rule in decision.rules if "400 patients" in rule.rule)
    assert shown.candidate == shown.champion == pytest.approx(figures(GOOD)["brier"], abs=1e-4)


@pytest.mark.parametrize("spoil", [lambda p: noisy(p, 2), lambda p: 0.5 + (p - 0.5) / 10])
def test_held_out_patients_veto_a_recipe_whose_model_is_worse(
    spoil: Callable[[np.ndarray], np.ndarray],
) -> None:
    few = slice(0, 60)
    held_out = Pairs(Y[few], spoil(GOOD)[few], GOOD[few])
    decision = judged(towards_truth(GOOD, 0.1), held_out=held_out)
    assert decision.verdict == "rejected"
    assert all("held out" in rule for rule in broken(decision))


@pytest.mark.parametrize("place", ["compared", "held_out"])
def test_one_undefined_probability_is_enough_to_be_rejected(place: str) -> None:
    p = towards_truth(GOOD, 0.1)
    p[3] = np.nan
    decision = gate.judge(candidate(), champion(**{place: Pairs(Y, p, GOOD)}), LIMITS)
    assert decision.verdict == "rejected"
    json.dumps(dataclasses.asdict(decision), allow_nan=False)


@pytest.mark.parametrize(
    "rows", [slice(0, 29), slice(0, 0), np.flatnonzero(Y == 1)], ids=["29", "none", "one class"]
)
def test_too_few_held_out_patients_decide_nothing(rows: Any) -> None:
    better = towards_truth(GOOD, 0.1)
    decision = judged(better, held_out=Pairs(Y[rows], better[rows], GOOD[rows]))
    assert decision.verdict == "rejected"
    (rule,) = (rule for rule in decision.rules if not rule.passed)
    assert "at least 30 patients of both classes" in rule.rule
    assert rule.candidate == len(Y[rows])


@pytest.mark.parametrize("source", ["uci", "file"])
def test_a_model_of_patients_dethrones_a_synthetic_one_without_a_comparison(source: str) -> None:
    nobody = Pairs(Y[:0], GOOD[:0], GOOD[:0])
    ruling = champion(source="synthetic", compared=nobody, held_out=nobody)
    decision = gate.judge(candidate(source=source), ruling, LIMITS)
    assert decision.verdict == "passed"
    assert "synthetic" in decision.reason
    assert gate.judge(candidate(roc_auc=0.6), ruling, LIMITS).verdict == "rejected"


@pytest.mark.parametrize(("p", "ruling", "verdict"), [
    (towards_truth(GOOD, 0.1), "synthetic", "passed"), (GOOD, "synthetic", "kept"),
    (towards_truth(GOOD, 0.1), "uci", "rejected"),
])  # fmt: skip
def test_synthetic_models_are_compared_with_each_other_and_never_dethrone_one_of_patients(
    p: np.ndarray, ruling: str, verdict: str
) -> None:
    contender = candidate(p, source="synthetic")
    decision = gate.judge(contender, champion(p, source=ruling), LIMITS)
    assert decision.verdict == verdict
    expected = ["no synthetic patients against real ones"] if verdict == "rejected" else []
    assert broken(decision) == expected


@pytest.mark.parametrize(
    ("before", "passed", "after"),
    [("kept", True, "kept"), ("kept", False, "rejected"), ("rejected", True, "rejected")],
)
def test_evidence_can_only_turn_a_decision_to_the_worse(
    before: str, passed: bool, after: str
) -> None:
    own = Rule("of its own", None, None, passed=before == "kept")
    evidence = Rule("in shadow", 0.2, 0.1, passed=passed)
    decision = gate.add_evidence(Decision(before, "whatever", "1", [own]), evidence)
    assert (decision.verdict, decision.against) == (after, "1")
    assert decision.rules == [own, evidence]


@pytest.mark.parametrize("p", [GOOD, 1 - GOOD, noisy(GOOD, 2)])
def test_a_decision_can_be_stored_and_shown(p: np.ndarray) -> None:
    decision = judged(p)
    assert decision == judged(p)  # the same question, the same answer
    assert Decision.read(decision.as_json()) == decision
    lines = gate.table(decision).splitlines()[1:]
    for line, rule in zip(lines, decision.rules, strict=True):
        assert rule.rule in line
        assert line.endswith("ok" if rule.passed else "BROKEN")


def test_the_rules_can_be_read_from_another_file(tmp_path: Path) -> None:
    path = tmp_path / "gate.toml"
    path.write_text("[held_out]\nroc_auc = 0.99\n")
    decision = gate.judge(candidate(), None, gate.read_rules(path))
    assert broken(decision) == ["ROC AUC, held out, at least 0.99"]
    path.write_text("[held_out.sex]\nroc_auc = 0.99\n")
    with pytest.raises(StepError, match="no table 'sex'; there are sexes, ages"):
        gate.judge(candidate(), None, gate.read_rules(path))
