"""Drift, calibration and verdict of one model, from its log."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from clinical.schema import FEATURE_NAMES
from risk_model.measurements import Histogram
from risk_model.metadata import Metadata
from risk_model.prediction_log.records import PROBABILITY, PROFILE, ROWS, SMALLEST, Bins
from steps.monitoring import alarms, calibration, drift, reading, shadow
from steps.monitoring.outcomes import Joined

PERIOD, PERIODS = 20, 12
"""The fewest patients of a point over time, and the most points."""


@dataclass(frozen=True)
class Model:
    """A model whose answers were logged.

    Answers call it by its `label`, such as ``registry-v3``, the registry by its `version`. `before`
    are counts of its baseline in the log's `bins`, None where there is no baseline.
    """

    label: str
    version: str
    metadata: Metadata
    bins: Bins
    before: dict[str, drift.Counts] | None


@dataclass(frozen=True)
class Monitored:
    """The result of monitoring a model.

    `summary` has its figures as JSON can hold them; no count below SMALLEST is in them.
    """

    model: Model
    verdict: alarms.Verdict
    summary: dict[str, Any]


def measure(
    model: Model, window: reading.Logged, whole: reading.Logged, joined: Joined | None
) -> Monitored:
    """Measure drift in a window, and calibration on all patients whose outcome is known by now.

    Where there are rows, they count, and no profile beside them.
    """
    rows, profile = (_of(model, part) for part in (window.rows, window.profile))
    # A repeated request about the same patient counts once.
    patients = rows.drop_duplicates([*FEATURE_NAMES])
    if kept_rows := len(rows) > 0:
        now, summary = reading.count_rows(model.bins, patients), _of_rows(rows)
    else:
        now = reading.count_profile(model.bins, profile)
        summary = _of_bins(model.bins[PROBABILITY], now[PROBABILITY])
    scored, kind = len(rows) or int(now[PROBABILITY].sum()), ROWS if kept_rows else PROFILE
    compared = drift.compare_all(model.before, now) if model.before else None
    labelled = _of(model, joined.patients) if joined else rows.iloc[:0]
    every = _of(model, whole.rows)
    outcomes = calibration.measure(labelled, every, model.metadata) if len(labelled) else None
    verdict = alarms.judge(scored, kind, compared, outcomes["judged"] if outcomes else [])
    figures = {
        "model_version": model.label,
        "version": model.version,
        "verdict": verdict.word,
        "reason": verdict.reason,
        "log": kind,
        "rows": scored,
        "repeated": len(rows) - len(patients),
        **summary,
        "variables": _variables(model, now, compared),
        "outcomes": outcomes,
        "shadow": shadow.compare(rows, labelled),
    }
    return Monitored(model, verdict, figures)


def _of(model: Model, logged: pd.DataFrame) -> pd.DataFrame:
    return logged[logged["model_version"] == model.label]


def _of_rows(rows: pd.DataFrame) -> dict[str, Any]:
    """Return what the probabilities are on the whole, and over time."""
    p = rows["probability"].to_numpy(float)
    points = [
        {"from": part["timestamp"].iloc[0].isoformat(timespec="seconds"), "rows": len(part),
         "mean_probability": float(part["probability"].mean())}
        for part in reading.periods(rows, PERIOD, PERIODS) if len(part) >= SMALLEST
    ]  # fmt: skip
    return {"mean_probability": float(p.mean()), "expected_brier": float((p * (1 - p)).mean()),
            "over_time": points}  # fmt: skip


def _of_bins(bins: Histogram, counts: drift.Counts) -> dict[str, Any]:
    """Return the same of counts by bin: each patient is taken for the middle of the bin."""
    ends = np.array([0, *(bins.edges or ()), 1])
    middle, counted = (ends[:-1] + ends[1:]) / 2, counts[:-1]
    total = max(int(counted.sum()), 1)
    return {"mean_probability": float(counted @ middle / total),
            "expected_brier": float(counted @ (middle * (1 - middle)) / total),
            "over_time": []}  # fmt: skip


def _variables(
    model: Model, now: dict[str, drift.Counts], compared: dict[str, drift.Drift] | None
) -> dict[str, dict[str, Any]]:
    """Return each variable then and now, without counts that might point at a patient."""
    variables: dict[str, dict[str, Any]] = {}
    for name, counts in now.items():
        one, bins = (compared or {}).get(name), model.bins[name]
        before = model.before[name] if model.before else None
        unknown, total = int(counts[-1]), max(int(counts.sum()), 1)
        variables[name] = {
            "psi": one and one.psi,
            "by_chance": one and one.by_chance,
            "p_value": one and one.p_value,
            "drift": bool(one and one.detected),
            "matters": bool(one and one.matters),
            "missing_rate": unknown / total if unknown == 0 or unknown >= SMALLEST else None,
            "codes": bins.codes,
            "edges": bins.edges,
            "before": None if before is None else (before / max(before.sum(), 1)).tolist(),
            "now": [None if hidden else count / total
                    for hidden, count in zip(_hidden(counts), counts.tolist(), strict=True)],
        }  # fmt: skip
    return variables


def _hidden(counts: drift.Counts) -> list[bool]:
    """Mark the counts that are not to be shown: small ones, and one that would give one away."""
    hidden = (counts > 0) & (counts < SMALLEST)
    if hidden.sum() == 1 and len(counts) > 1:
        others = np.where(hidden, np.iinfo(np.int64).max, counts)
        hidden[int(np.argmin(others))] = True
    return list(map(bool, hidden))
