"""What the gate judges a candidate and the champion by, from the artifacts of their runs."""

import numpy as np
import pandas as pd

from clinical import cohort, copies
from clinical.schema import FEATURE_NAMES, LABEL
from steps.modelling import metrics
from steps.registry import gate, rules
from steps.runs.lineage import Lineage

NOT_STORED = (
    "compared on held-out patients alone, for one of the two has no stored out-of-fold "
    "probabilities of its patients"
)


def candidate_of(model: Lineage) -> gate.Candidate:
    """Return a candidate with its own measures.

    Raises a `ModelError` where the stored model does not pass its checks.
    """
    measured: dict[str, float | None] = {}
    loaded = model.model
    if (rows := model.held_out) is not None:
        y = rows[LABEL.name].to_numpy(np.int8)
        scores = metrics.scores(y, loaded.probabilities(rows))
        measured = {name: float(value[0]) for name, value in scores.items()}
    return gate.Candidate(_source(model), model.metadata.out_of_fold, measured)


def champion_of(version: str, champion: Lineage, candidate: Lineage) -> gate.Champion:
    """Return the champion beside a candidate, on the patients that both can be measured on.

    Near-copies of a patient are that patient, and count once. Of one with both labels, or two
    data sets that contradict each other, the champion's label counts.
    """
    held_out = _unseen(champion, candidate)
    unseen = pairs_of(held_out, candidate, champion)
    before, now = champion.out_of_fold, candidate.out_of_fold
    if before is None or now is None:
        return gate.Champion(version, _source(champion), unseen, unseen, NOT_STORED)
    every = pd.concat([before, now, held_out])
    places = np.cumsum([len(before), len(now)])
    patients = np.split(copies.near_copies(every[list(FEATURE_NAMES)]), places)
    old, new = (
        frame.groupby(patient).agg(y=(LABEL.name, "max"), p=("probability", "mean"))
        for frame, patient in zip((before, now), patients[:2], strict=True)
    )
    both = old.join(new["p"].rename("candidate"), how="inner")
    rest = ~np.isin(patients[2], both.index)
    compared = rules.Pairs(
        np.append(both["y"].to_numpy(np.int8), unseen.y[rest]),
        np.append(both["candidate"], unseen.candidate[rest]),
        np.append(both["p"], unseen.champion[rest]),
    )
    return gate.Champion(version, _source(champion), compared, unseen)


def _source(model: Lineage) -> str:
    """Return the value of ``data.source``; earlier releases had others for the sample."""
    rows = model.held_out
    return model.source if rows is None else cohort.source_of(rows, model.source)


def pairs_of(rows: pd.DataFrame, candidate: Lineage, champion: Lineage) -> rules.Pairs:
    """Return patients with the probabilities that the two models themselves give them."""
    p, q = (
        # A model that nobody is left for may be one that does not load here.
        one.model.probabilities(rows) if len(rows) else np.empty(0)
        for one in (candidate, champion)
    )
    return rules.Pairs(rows[LABEL.name].to_numpy(np.int8), p, q)


def _unseen(champion: Lineage, candidate: Lineage) -> pd.DataFrame:
    """Return the patients held out from either that neither has seen.

    Empty where the store does not hold the training patients of one of them.
    """
    both = (champion, candidate)
    held_out = [model.held_out for model in both if model.training_rows is not None]
    stored = [rows for rows in held_out if rows is not None]
    if len(stored) < len(both):
        return pd.DataFrame(columns=[*FEATURE_NAMES, LABEL.name])
    rows = pd.concat(stored)
    rows = rows[~pd.Series(copies.near_copies(rows)).duplicated().to_numpy()]
    return rows[~(champion.has_seen(rows) | candidate.has_seen(rows))]
