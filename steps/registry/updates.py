"""The gate's rules for an update: it is judged on later outcomes of the patients that it is for."""

import pandas as pd

from risk_model.measurements import Group, Measures, OutOfFold
from steps.modelling import clinical_metrics, metrics
from steps.registry import gate, rules
from steps.registry.contenders import pairs_of
from steps.runs.lineage import Lineage

WAITING = (
    "an update is judged on later outcomes of its own patients, which are not there yet: register "
    "it again with -P outcomes=<labelled file>"
)
OF = "later outcomes"


def judge(
    candidate: Lineage,
    champion: Lineage,
    against: str,
    later: pd.DataFrame | None,
    limits: rules.Limits,
) -> gate.Decision:
    """Decide about an update, by the `limits` that `gate.read_rules` returns.

    `later` are patients with ``disease``; those that one of the two has seen do not count. The
    limits of out-of-fold figures hold for them. `against` is the champion's version; empty for the
    model that was updated.
    """
    if later is None:
        return gate.Decision("kept", WAITING, against)
    rows = later[~(candidate.has_seen(later) | champion.has_seen(later))]
    pairs = pairs_of(rows, candidate, champion)
    vetoes = rules.veto(pairs, limits["veto"])
    if not vetoes[0].passed:
        return gate.Decision("kept", WAITING, against, vetoes)
    figures = measured(rows, pairs.y, pairs.candidate)
    rule, better = rules.compare(pairs, limits["recipe"])
    judged = [
        rules.not_synthetic(candidate.source, champion.source),
        *rules.within(figures.metrics, limits["out_of_fold"], OF, figures.groups),
        rule,
        *vetoes,
        *_reported(candidate, champion),
    ]
    reason = f"better on {len(rows)} {OF}" if better else f"not clearly better on {len(rows)} {OF}"
    return gate.conclude(judged, against, reason, better=better)


def _reported(candidate: Lineage, champion: Lineage) -> list[rules.Rule]:
    """Return figures of the champion's own held-out patients; whatever they are, they pass."""
    if (rows := champion.held_out) is None:
        return []
    pairs = pairs_of(rows, candidate, champion)
    new, old = (_figures(pairs.y, p) for p in (pairs.candidate, pairs.champion))
    about = f"of {len(rows)} earlier patients, reported"
    return [
        rules.Rule(f"{title} {about}", new[name], old[name], passed=True)
        for name, title in (("brier", "Brier score"), ("observed_expected", "observed / expected"))
    ]


def measured(patients: pd.DataFrame, y: metrics.Labels, p: metrics.Floats) -> OutOfFold:
    """Return the figures that the rules ask for, of all patients and of each group.

    By labels, and probabilities by models that have not seen the patients.
    """
    groups = []
    for name, members in clinical_metrics.groups(patients).items():
        labels = y[members]
        figures = _figures(labels, p[members]) if clinical_metrics.enough(labels) else None
        count, ill = len(labels), int(labels.sum())
        groups.append(Group(group=name, patients=count, diseased=ill, metrics=figures))
    figures, ill = _figures(y, p), int(y.sum())
    return OutOfFold(patients=len(y), diseased=ill, metrics=figures, groups=tuple(groups))


def _figures(y: metrics.Labels, p: metrics.Floats) -> Measures:
    scores = clinical_metrics.scores(y, p)
    return {name: rules.rounded(float(value[0])) for name, value in scores.items()}
