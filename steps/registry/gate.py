"""The gate: whether a candidate may become champion, and why."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from clinical import cohort
from risk_model.measurements import Measures, OutOfFold
from steps.registry.rules import (
    NOT_JUDGED,
    Limits,
    Pairs,
    Rule,
    compare,
    not_synthetic,
    veto,
    within,
)
from steps.runs.files import ROOT

NAMED = 4
"""So many broken rules are named in a reason; all are in the table."""


@dataclass(frozen=True)
class Decision:
    """The verdict of the gate.

    ``passed``: the candidate becomes champion. ``kept``: it is as good, so the champion stays.
    ``rejected``: it broke a rule.
    """

    verdict: str  # passed, kept or rejected
    reason: str  # one sentence
    against: str = ""  # the champion's version that it was compared with, or empty
    rules: list[Rule] = field(default_factory=list)

    def as_json(self) -> str:
        """Return it as it is stored."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def read(cls, text: str) -> Decision:
        """Return the decision that was stored."""
        stored = json.loads(text)
        return cls(**stored | {"rules": [Rule(**rule) for rule in stored["rules"]]})


@dataclass(frozen=True)
class Candidate:
    """A model before the gate.

    `out_of_fold` are its figures of all patients and of each group, None where nothing is known;
    `held_out` those of the model itself on its held-out patients.
    """

    source: str
    out_of_fold: OutOfFold | None
    held_out: Measures


@dataclass(frozen=True)
class Champion:
    """The champion, beside a candidate."""

    version: str
    source: str
    compared: Pairs  # all patients both were measured on: out of fold, or by the models themselves
    held_out: Pairs  # held out from either, seen by neither; by the models themselves
    note: str = ""  # a remark on the comparison, if any


def read_rules(path: Path = ROOT / "gate.toml") -> Limits:
    """Return the limits in gate.toml."""
    return tomllib.loads(path.read_text())


def judge(candidate: Candidate, champion: Champion | None, limits: Limits) -> Decision:
    """Decide about a candidate, by the limits that `read_rules` returns."""
    unseen, bounds = candidate.out_of_fold, limits.get("out_of_fold", {})
    measures, groups = (unseen.metrics, unseen.groups) if unseen else ({}, ())
    judged = within(candidate.held_out, limits.get("held_out", {}), "held out")
    judged += within(measures, bounds, "out of fold", groups)
    if champion is None:
        return conclude(judged, "", "there was no champion, and no rule is broken")
    judged.append(not_synthetic(candidate.source, champion.source))
    if champion.source == cohort.SYNTHETIC and candidate.source != cohort.SYNTHETIC:
        reason = "the champion has seen synthetic patients only"
        return conclude(judged, champion.version, reason)
    compared, better = veto(champion.held_out, limits["veto"]), False
    if compared[0].passed:
        rule, better = compare(champion.compared, limits["recipe"])
        compared.insert(0, rule)
    reason = "better than the champion"
    if not better:
        reason = "not worse than the champion, and not clearly better: the champion stays"
    if champion.note:
        reason = f"{reason}; {champion.note}"
    return conclude(judged + compared, champion.version, reason, better=better)


def refuse(why: str, against: str) -> Decision:
    """Return the rejection of a candidate that cannot be used at all; `why` is a sentence."""
    rule = Rule("the stored model passes its checks", None, None, passed=False)
    return Decision("rejected", f"broken: {rule.rule}: {why.rstrip('.')}", against, [rule])


def conclude(judged: list[Rule], against: str, reason: str, *, better: bool = True) -> Decision:
    """Return the decision that rules lead to; its reason names what was not judged."""
    broken = [rule.rule for rule in judged if not rule.passed]
    if broken:
        more = f"; and {len(broken) - NAMED} more" if len(broken) > NAMED else ""
        reason = f"broken: {'; '.join(broken[:NAMED])}{more}"
        return Decision("rejected", reason, against, judged)
    skipped = [rule.rule for rule in judged if rule.candidate == NOT_JUDGED]
    if skipped:
        reason = f"{reason}; not judged: {'; '.join(skipped)}"
    return Decision("passed" if better else "kept", reason, against, judged)


def add_evidence(decision: Decision, evidence: Rule) -> Decision:
    """Return a decision with a further rule, which can only turn it to the worse."""
    both = [*decision.rules, evidence]
    if evidence.passed:
        return replace(decision, rules=both)
    return conclude(both, decision.against, decision.reason)


def table(decision: Decision) -> str:
    """Return the decision as lines for a terminal."""
    width = max([72, *(len(rule.rule) for rule in decision.rules)])
    head = f"  {'rule':<{width}} {'candidate':>10} {'champion':>10}"
    lines = [
        f"  {rule.rule:<{width}} {_cell(rule.candidate):>10} {_cell(rule.champion):>10}"
        f"  {'ok' if rule.passed else 'BROKEN'}"
        for rule in decision.rules
    ]
    return "\n".join([head, *lines])


def _cell(value: float | str | None) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else value
