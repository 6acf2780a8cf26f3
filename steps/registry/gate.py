"""The gate: whether a candidate may become champion, and why."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from clinical.schema import FEATURES
from steps.modelling import metrics
from steps.modelling.metrics import Floats, Labels
from steps.runs.files import ROOT

SEXES = tuple(next(feature for feature in FEATURES if feature.name == "sex").codes.values())
SEED = 20240  # of the paired bootstrap: the same question gets the same answer


@dataclass(frozen=True)
class Rule:
    """One rule of the gate, with the figures it was decided on."""

    rule: str
    candidate: float | str | None
    champion: float | str | None
    passed: bool


@dataclass(frozen=True)
class Decision:
    """What the gate said.

    Attributes
    ----------
    verdict : str
        ``passed``: the candidate becomes champion. ``kept``: it is as good, so the champion stays.
        ``rejected``: it broke a rule.
    reason : str
        One sentence.
    against : str
        The champion's version that it was compared with, or empty.
    rules : list of Rule
    """

    verdict: str
    reason: str
    against: str = ""
    rules: list[Rule] = field(default_factory=list)


@dataclass(frozen=True)
class Contender:
    """A model before the gate: where its data came from, its figures, its probabilities.

    `probabilities` are those for the shared patients, None where there are no such patients.
    """

    version: str
    source: str
    metrics: Mapping[str, float]
    probabilities: Floats | None = None


def read_rules(path: Path = ROOT / "gate.toml") -> dict[str, Any]:
    """Return the limits in gate.toml."""
    return tomllib.loads(path.read_text())


def judge(
    candidate: Contender, champion: Contender | None, y: Labels, limits: Mapping[str, Any]
) -> Decision:
    """Decide about a candidate.

    Parameters
    ----------
    candidate, champion : Contender
        The champion is None where there is none yet.
    y : array of int, shape (n_rows,)
        Labels of the patients that neither has trained on.
    limits : mapping
        What `read_rules` returns.
    """
    rules = floors(candidate, limits["floors"])
    if champion is None:
        return _concluded(rules, "", "there was no champion, and the floors are kept")
    against = champion.version
    rules.append(
        Rule(
            "no synthetic patients against real ones",
            candidate.source,
            champion.source,
            candidate.source != "synthetic" or champion.source == "synthetic",
        )
    )
    if champion.source == "synthetic" and candidate.source != "synthetic":
        return _concluded(rules, against, "the champion has seen synthetic patients only")
    compared, better = compare(candidate, champion, y, limits["champion"])
    rules += compared
    decision = _concluded(rules, against, "better than the champion")
    if decision.verdict == "passed" and not better:
        reason = "not worse than the champion, and not clearly better: the champion stays"
        return Decision("kept", reason, against, rules)
    return decision


def refuse(why: str, against: str) -> Decision:
    """Return the rejection of a candidate that cannot be used at all.

    Parameters
    ----------
    why : str
        One sentence, such as that of a ModelError.
    against : str
        The champion's version, or empty.
    """
    rule = Rule("the stored model passes its checks", None, None, passed=False)
    return Decision("rejected", f"broken: {rule.rule}: {why.rstrip('.')}", against, [rule])


def _concluded(rules: list[Rule], against: str, reason: str) -> Decision:
    broken = [rule.rule for rule in rules if not rule.passed]
    if broken:
        return Decision("rejected", "broken: " + "; ".join(broken), against, rules)
    return Decision("passed", reason, against, rules)


def floors(candidate: Contender, limits: Mapping[str, Any]) -> list[Rule]:
    """Return the rules about the candidate alone; an undefined figure passes none."""
    unseen = limits.get("out_of_fold", {})
    rules = []
    if "roc_auc" in limits:
        rules.append(_floor(candidate, "roc_auc", "ROC AUC", low=limits["roc_auc"]))
    if "brier" in limits:
        rules.append(_floor(candidate, "brier", "Brier score", high=limits["brier"]))
    if "calibration_slope" in unseen:
        low, high = unseen["calibration_slope"]
        name, title = "cv_calibration_slope", "calibration slope, out of fold,"
        rules.append(_floor(candidate, name, title, low, high))
    if "sensitivity" in unseen:
        for word in SEXES:
            name, title = f"cv_sensitivity_{word}", f"sensitivity, {word}, out of fold,"
            rules.append(_floor(candidate, name, title, low=unseen["sensitivity"]))
    return rules


def _floor(
    candidate: Contender, name: str, title: str, low: float = -math.inf, high: float = math.inf
) -> Rule:
    # Release 0.1 called them by another name.
    old = candidate.metrics.get(f"oof_{name.removeprefix('cv_')}", math.nan)
    value = candidate.metrics.get(name, old)
    if math.isinf(high):
        words = f"at least {low:g}"
    else:
        words = f"at most {high:g}" if math.isinf(low) else f"from {low:g} to {high:g}"
    return Rule(f"{title} {words}", _shown(value), None, low <= value <= high)


def compare(
    candidate: Contender, champion: Contender, y: Labels, limits: Mapping[str, float]
) -> tuple[list[Rule], bool]:
    """Return the rules of the paired bootstrap, and whether the candidate is clearly better."""
    enough = len(y) >= limits["min_rows"] and len(set(y.tolist())) == 2
    rows = Rule(
        f"at least {limits['min_rows']} patients of both classes that neither has trained on",
        float(len(y)), None, enough,
    )  # fmt: skip
    if not enough or candidate.probabilities is None or champion.probabilities is None:
        return [rows], False
    weights = metrics.bootstrap_weights(y, SEED, int(limits["bootstraps"]))
    new, old = (metrics.scores(y, who.probabilities, weights) for who in (candidate, champion))  # type: ignore[arg-type]
    now, before = (metrics.scores(y, who.probabilities) for who in (candidate, champion))  # type: ignore[arg-type]
    rules = [rows]
    for name, title, sign in (("brier", "Brier score", -1), ("roc_auc", "ROC AUC", 1)):
        gains = sign * (new[name] - old[name])
        worse = float(np.mean(gains < 0)) if np.isfinite(gains).all() else 1.0
        rules.append(
            Rule(
                f"{title} not worse in {limits['worse_share']:.0%} of bootstraps",
                _shown(float(now[name][0])),
                _shown(float(before[name][0])),
                worse < limits["worse_share"],
            )
        )
    share = float(np.mean(new["brier"] < old["brier"]))
    gain = float(before["brier"][0] - now["brier"][0])
    better = share >= limits["better_share"] and gain >= limits.get("better_by", 0)
    return rules, better


def _shown(value: float) -> float | None:
    """Return a figure as JSON can hold it: rounded, None where it is undefined."""
    return round(value, 4) if math.isfinite(value) else None


def table(decision: Decision) -> str:
    """Return the decision as lines for a terminal."""
    head = f"  {'rule':<64} {'candidate':>10} {'champion':>10}"
    lines = [
        f"  {rule.rule:<64} {_cell(rule.candidate):>10} {_cell(rule.champion):>10}"
        f"  {'ok' if rule.passed else 'BROKEN'}"
        for rule in decision.rules
    ]
    return "\n".join([head, *lines])


def _cell(value: float | str | None) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else value
