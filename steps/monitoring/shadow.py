"""A challenger in shadow compared with the model that answered, on the same patients."""

from typing import Any

import numpy as np
import pandas as pd

from clinical.schema import LABEL
from steps.modelling import clinical_metrics, metrics

SEED = 42


def compare(rows: pd.DataFrame, patients: pd.DataFrame) -> list[dict[str, Any]]:
    """Return, for each challenger, how far it is from the model that answered.

    `rows` are those of one model, `patients` those whose outcome is known: where there are enough,
    both models are judged by them.
    """
    comparisons = []
    for version, both in rows.dropna(subset="challenger_probability").groupby("challenger_version"):
        moved = both["challenger_probability"] - both["probability"]
        sides = both[["probability", "challenger_probability"]].ge(metrics.THRESHOLD)
        labelled = patients[patients["challenger_version"] == version]
        labelled = labelled.dropna(subset="challenger_probability")
        comparisons.append(
            {
                "challenger": version,
                "rows": len(both),
                "mean_difference": float(moved.mean()),
                "mean_absolute_difference": float(moved.abs().mean()),
                "flips": float((sides.iloc[:, 0] != sides.iloc[:, 1]).mean()),
                "paired": _paired(labelled),
            }
        )
    return comparisons


def _paired(labelled: pd.DataFrame) -> dict[str, Any] | None:
    """Return both Brier scores of the same patients, and by how much the challenger's is lower."""
    y = labelled[LABEL.name].to_numpy(np.int8)
    if not clinical_metrics.enough(y):
        return None
    p, q = (labelled[name].to_numpy(float) for name in ("probability", "challenger_probability"))
    losses, challenger = (p - y) ** 2, (q - y) ** 2
    gains = losses - challenger
    drawn = metrics.bootstrap_weights(y, SEED) @ gains / len(y)
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
    return {
        "patients": len(y),
        "brier": float(losses.mean()),
        "challenger_brier": float(challenger.mean()),
        "brier_gain": float(gains.mean()),
        "low": low,
        "high": high,
        "better_in": float((drawn > 0).mean()),
    }
