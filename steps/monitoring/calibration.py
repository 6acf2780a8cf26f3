"""How a model's probabilities turned out, and whether that is still what its card states."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from clinical.hospitals import Cohort
from clinical.schema import LABEL
from risk_model.metadata import Metadata
from steps.modelling import clinical_metrics, evaluation
from steps.monitoring.reading import periods

JUDGED = ("calibration_intercept", "calibration_slope")
LEVEL = 0.05
"""The chance that one of JUDGED seems to have left the card where nothing has changed."""
PERIOD, PERIODS = 100, 6
"""How many patients a period has at least, and how many periods there are at most."""
SEED = 42


def measure(patients: pd.DataFrame, rows: pd.DataFrame, metadata: Metadata) -> dict[str, Any]:
    """Measure the probabilities that were given to patients whose outcome is known by now.

    `patients` are rows of the log with ``disease`` and ``observed_at``, `rows` all of the same
    model, whose `metadata` are those of its card.
    """
    y = patients[LABEL.name].to_numpy(np.int8)
    summary: dict[str, Any] = {"patients": len(y), **_coverage(patients, rows)}
    if not clinical_metrics.enough(y):
        return summary | {"measured": None, "judged": [], "periods": []}
    cohort = Cohort("outcomes", "Patients whose outcome is known", patients, len(rows))
    measured = evaluation.measure(cohort, patients["probability"].to_numpy(float), SEED).summary
    card = metadata.out_of_fold.metrics if metadata.out_of_fold else {}
    return summary | {
        "measured": measured,
        "judged": [judge(name, measured["metrics"], card) for name in JUDGED if name in card],
        "periods": _periods(patients),
    }


def judge(
    name: str, metrics: Mapping[str, float], card: Mapping[str, float | None]
) -> dict[str, Any]:
    """Return a measure beside that of the card, and whether they differ beyond chance.

    Both are estimates: their intervals say how sure. As the card's own patients are a few hundred,
    no detected difference is a trifle, however many outcomes there are.
    """
    value, before = metrics[name], card[name]
    spread = math.hypot(_error(name, metrics), _error(name, card))
    distance = math.nan if before is None else abs(value - before) / spread
    limit = float(norm.isf(LEVEL / len(JUDGED) / 2))
    return {"name": name, "value": value, "stated": before, "left": distance > limit}


def _error(name: str, metrics: Mapping[str, float | None]) -> float:
    """Return the standard error behind a 95 % interval; NaN where there is none."""
    low, high = metrics.get(f"{name}_ci_low"), metrics.get(f"{name}_ci_high")
    if low is None or high is None:
        return math.nan
    return float((high - low) / (2 * norm.isf(0.025)))


def _coverage(patients: pd.DataFrame, rows: pd.DataFrame) -> dict[str, Any]:
    """Return the share of known outcomes, their delay, and whether those patients are typical."""
    delay = (patients["observed_at"] - patients["timestamp"]).dt.total_seconds() / 86_400
    valid = delay[delay >= 0]
    quantiles = np.quantile(valid, [0.5, 0.9]).tolist() if len(valid) else [None, None]
    return {
        "coverage": len(patients) / len(rows),
        "delay_days": dict(zip(("median", "90 %"), quantiles, strict=True)),
        "delay_known": len(valid),
        "mean_probability": float(patients["probability"].mean()) if len(patients) else None,
        "mean_probability_of_all": float(rows["probability"].mean()),
    }


def _periods(patients: pd.DataFrame) -> list[dict[str, Any]]:
    """Return observed / expected over time."""
    shares = []
    for part in periods(patients, PERIOD, PERIODS):
        y, p = part[LABEL.name].to_numpy(np.int8), part["probability"].to_numpy(float)
        if clinical_metrics.enough(y):
            metrics = clinical_metrics.with_intervals(y, p, SEED, ("observed_expected",))
            first, last = part["timestamp"].iloc[[0, -1]].dt.strftime("%Y-%m-%d")
            shares.append({"from": first, "to": last, "patients": len(y), "metrics": metrics})
    return shares
