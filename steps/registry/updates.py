"""The gate's rules for an update: it is judged on later outcomes of the patients that it is for."""

from __future__ import annotations

import numpy as np
import pandas as pd

from clinical.schema import LABEL
from risk_model.measurements import Group, Measures, OutOfFold
from steps.modelling import clinical_metrics, metrics
from steps.registry import gate, rules
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
    """Decide about an update.

    Parameters
    ----------
    candidate, champion : Lineage
        Both figures on the champion's own patients are reported, and not a rule.
    against : str
        The champion's version; empty for the model that was updated.
    later : DataFrame or None
        Patients with ``disease``; those that one of the two has seen do not count.
    limits : mapping
        What `gate.read_rules` returns: those of out-of-fold figures hold for later outcomes.
    """
    if later is None:
        return gate.Decision("kept", WAITING, against)
    rows = later[~(candidate.has_seen(later) | champion.has_seen(later))]
    pairs = _pairs(rows, candidate, champion)
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


def _pairs(rows: pd.DataFrame, candidate: Lineage, champion: Lineage) -> rules.Pairs:
    p, q = (one.model.probabilities(rows) for one in (candidate, champion))
    return rules.Pairs(rows[LABEL.name].to_numpy(np.int8), p, q)


def _reported(candidate: Lineage, champion: Lineage) -> list[rules.Rule]:
    """Return figures of the champion's own held-out patients; whatever they are, they pass."""
    if (rows := champion.held_out) is None:
        return []
    pairs = _pairs(rows, candidate, champion)
    new, old = (clinical_metrics.scores(pairs.y, p) for p in (pairs.candidate, pairs.champion))
    return [
        rules.Rule(f"{title} of {len(rows)} earlier patients, reported",
                   round(float(new[name][0]), 4), round(float(old[name][0]), 4), passed=True)
        for name, title in (("brier", "Brier score"), ("observed_expected", "observed / expected"))
    ]  # fmt: skip


def measured(patients: pd.DataFrame, y: metrics.Labels, p: metrics.Floats) -> OutOfFold:
    """Return the figures that the rules ask for, of all patients and of each group.

    By labels, and probabilities by models that have not seen the patients.
    """
    groups = tuple(
        Group(
            group=name,
            patients=int(members.sum()),
            diseased=int(y[members].sum()),
            metrics=_figures(y[members], p[members])
            if clinical_metrics.enough(y[members])
            else None,
        )
        for name, members in clinical_metrics.groups(patients).items()
    )
    figures, diseased = _figures(y, p), int(y.sum())
    return OutOfFold(patients=len(y), diseased=diseased, metrics=figures, groups=groups)


def _figures(y: metrics.Labels, p: metrics.Floats) -> Measures:
    scores = clinical_metrics.scores(y, p)
    return {name: rules.rounded(float(value[0])) for name, value in scores.items()}
