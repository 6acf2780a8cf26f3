"""What a challenger in shadow said of the same patients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from clinical.schema import LABEL
from steps.modelling import clinical_metrics, metrics
from steps.modelling.metrics import THRESHOLD

SEED = 42


def compare(rows: pd.DataFrame, patients: pd.DataFrame) -> list[dict[str, Any]]:
    """Return, for each challenger, how far it is from the model that answered.

    Parameters
    ----------
    rows : DataFrame
        Of one model.
    patients : DataFrame
        Those whose outcome is known: where there are enough, both models are judged by them.
    """
    found = []
    for version, both in rows.dropna(subset="challenger_probability").groupby("challenger_version"):
        moved = both["challenger_probability"] - both["probability"]
        sides = both[["probability", "challenger_probability"]].ge(THRESHOLD)
        known = patients[patients["challenger_version"] == version]
        known = known.dropna(subset="challenger_probability")
        found.append(
            {
                "challenger": version,
                "rows": len(both),
                "mean_difference": float(moved.mean()),
                "mean_absolute_difference": float(moved.abs().mean()),
                "flips": float((sides.iloc[:, 0] != sides.iloc[:, 1]).mean()),
                "paired": _paired(known),
            }
        )
    return found


def _paired(known: pd.DataFrame) -> dict[str, Any] | None:
    """Return by how much the challenger's Brier score is lower, of the same patients."""
    y = known[LABEL.name].to_numpy(np.int8)
    if not clinical_metrics.enough(y):
        return None
    p, q = (known[name].to_numpy(float) for name in ("probability", "challenger_probability"))
    gains = (p - y) ** 2 - (q - y) ** 2
    drawn = metrics.bootstrap_weights(y, SEED) @ gains / len(y)
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
    better = float((drawn > 0).mean())
    return {"patients": len(y), "brier_gain": float(gains.mean()), "low": low, "high": high,
            "better_in": better}  # fmt: skip
