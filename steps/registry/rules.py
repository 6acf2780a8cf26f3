"""The rules of the gate, each a function of figures, or of probabilities and labels."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.stats import binomtest

from clinical.cohort import SYNTHETIC
from clinical.schema import FEATURES
from risk_model.card.wording import MEASURES, Measures
from risk_model.measurements import Group
from steps.modelling import clinical_metrics, metrics
from steps.runs.store import StepError

GROUPS = {
    "sexes": tuple(next(feature for feature in FEATURES if feature.name == "sex").codes.values()),
    "ages": tuple(f"age {band}" for band in clinical_metrics.AGES),
}
SEED = 20240  # of the paired bootstrap: the same question gets the same answer
NOT_JUDGED = "not judged"
Limits = dict[str, Any]
"""By measure, or by group and measure: the least that passes, or from and to; see gate.toml."""


@dataclass(frozen=True)
class Rule:
    """One rule of the gate, with the figures it was decided on."""

    rule: str
    candidate: float | str | None
    champion: float | str | None
    passed: bool


@dataclass(frozen=True)
class Pairs:
    """Patients that neither of two models has seen, each once, with both probabilities.

    Labels `y` and probabilities of disease, each of shape (n_patients,).
    """

    y: metrics.Labels
    candidate: metrics.Floats
    champion: metrics.Floats


def within(measures: Measures, limits: Limits, of: str, groups: Iterable[Group] = ()) -> list[Rule]:
    """Return the rules about figures by name; one that is missing or undefined passes none.

    The tables ``sexes`` and ``ages`` among `limits` are for the figures of `groups`; one that is
    too small for any is not judged. `of` names the patients.
    """
    rules, by_name = [], {group.group: group for group in groups}
    for name, limit in limits.items():
        if name in GROUPS:
            for member in GROUPS[name]:
                rules += _of_group(by_name.get(member), limit, f"{member}, {of}")
        elif isinstance(limit, dict):
            raise StepError(f"gate.toml: no table '{name}'; there are {', '.join(GROUPS)}")
        else:
            rules.append(_within(name, measures.get(name), limit, of))
    return rules


def _within(name: str, value: float | None, limit: Any, of: str, count: int = 0) -> Rule:
    """Return the rule about a figure; the share of a `count` of patients may miss it by chance."""
    least, most = (limit, math.inf) if isinstance(limit, int | float) else limit
    condition = f"at least {least:g}" if math.isinf(most) else f"from {least:g} to {most:g}"
    figure = math.nan if value is None else value
    reached = figure
    if count and math.isfinite(figure):
        reached = binomtest(round(figure * count), count).proportion_ci(method="wilson").high
        condition += " within chance"
    title = MEASURES[name].removesuffix(" at 0.5")
    passed = bool(least <= reached and figure <= most)
    return Rule(f"{title}, {of}, {condition}", rounded(figure), None, passed)


def _of_group(group: Group | None, limits: Limits, of: str) -> list[Rule]:
    if group is None:
        return [Rule(f"figures, {of}", None, None, passed=False)]
    if group.metrics is None:
        few = f"fewer than {clinical_metrics.SMALLEST_GROUP} patients of either outcome"
        return [Rule(f"{of}: {few}", NOT_JUDGED, None, passed=True)]
    counts = {"sensitivity": group.diseased, "specificity": group.patients - group.diseased}
    return [
        _within(name, group.metrics.get(name), limit, of, counts.get(name, 0))
        for name, limit in limits.items()
    ]


def not_synthetic(candidate: str, champion: str) -> Rule:
    """Return the rule that a model of synthetic patients takes no place of one of real patients."""
    passed = candidate != SYNTHETIC or champion == SYNTHETIC
    return Rule("no synthetic patients against real ones", candidate, champion, passed)


def _not_worse(
    title: str, figures: tuple[float, float], gains: metrics.Floats, by: float, share: float
) -> Rule:
    """Return the rule that a figure is not worse by so much, in such a share of the bootstraps.

    `gains`, once and in bootstraps, are above 0 where the candidate's is better; NaN is worse.
    """
    worse = float(np.mean(~(gains[1:] >= 0)))
    condition = f"{title} not worse by {by:g} in {share:.0%} of bootstraps"
    new, old = map(rounded, figures)
    return Rule(condition, new, old, worse < share or bool(gains[0] > -by))


@lru_cache(maxsize=2)
def _weights(count: int, bootstraps: int) -> metrics.Floats:
    """Return ones for so many patients, and how often each is drawn in bootstraps: always the same.

    Of shape (1 + bootstraps, count).
    """
    drawn = metrics.bootstrap_weights(np.zeros(count, np.int8), SEED, bootstraps)
    return np.vstack([np.ones(count), drawn])


def compare(pairs: Pairs, limits: Limits) -> tuple[Rule, bool]:
    """Return the rule that a candidate is not worse than the champion, and whether it is better.

    By a paired bootstrap of the Brier score.
    """
    count = len(pairs.y)
    new, old = ((p - pairs.y) ** 2 for p in (pairs.candidate, pairs.champion))
    gains = _weights(count, limits["bootstraps"]) @ (old - new) / count
    figures, by = (float(new.mean()), float(old.mean())), limits["worse_by"]
    rule = _not_worse(f"Brier score, {count} patients,", figures, gains, by, limits["worse_share"])
    share = float(np.mean(gains[1:] > 0))
    return rule, share >= limits["better_share"] and bool(gains[0] >= limits["better_by"])


def veto(pairs: Pairs, limits: Limits) -> list[Rule]:
    """Return the rules about both models themselves, on patients that neither has seen."""
    count, least = len(pairs.y), limits["least_patients"]
    passed = count >= least and len(set(pairs.y.tolist())) == 2
    condition = f"at least {least:g} patients of both classes that neither has seen"
    rules = [Rule(condition, float(count), None, passed)]
    if not passed:
        return rules
    weights = _weights(count, limits["bootstraps"])
    new, old = (metrics.scores(pairs.y, p, weights) for p in (pairs.candidate, pairs.champion))
    for name, sign in (("brier", -1), ("roc_auc", 1)):
        title, figures = f"{MEASURES[name]}, held out,", (float(new[name][0]), float(old[name][0]))
        gains, by = sign * (new[name] - old[name]), limits[name]
        rules.append(_not_worse(title, figures, gains, by, limits["worse_share"]))
    return rules


def rounded(value: float) -> float | None:
    """Return a figure as JSON can hold it: rounded, None where it is undefined."""
    return round(value, 4) if math.isfinite(value) else None
