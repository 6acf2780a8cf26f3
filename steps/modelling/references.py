"""Made-up reference patients, by which a model and its server are checked."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import StackingClassifier

from clinical.copies import row_hashes
from clinical.schema import FEATURES
from risk_model import patterns
from risk_model.metadata import References

TOLERANCE = 1e-5
"""Largest difference in probability from the ONNX model: float32 against float64."""


def reference_cases(model: StackingClassifier, training: pd.DataFrame) -> References:
    """Return made-up patients with the model's probabilities for them."""
    rows = pd.DataFrame(reference_rows(training), columns=training.columns)
    # JSON has no NaN: an unknown value is null.
    inputs = rows.astype(object).where(rows.notna(), None).itertuples(index=False, name=None)
    probabilities = model.predict_proba(rows)[:, 1].tolist()
    return References(inputs=tuple(inputs), probabilities=tuple(probabilities), tolerance=TOLERANCE)


def edge_cases(training: pd.DataFrame) -> NDArray[np.float64]:
    """Return a usual patient in each pattern of unknown findings, then at each extreme in turn."""
    usual = training.quantile(0.5, interpolation="nearest").to_numpy(float)
    rows = [*patterns.masked(usual[np.newaxis]), np.full(len(FEATURES), np.nan)]
    for i, feature in enumerate(FEATURES):
        for value in (*feature.codes, feature.low, feature.high, np.nan):
            row = usual.copy()
            row[i] = value
            rows.append(row)
    return np.array(rows)


def reference_rows(training: pd.DataFrame) -> NDArray[np.float64]:
    """Return the rows that a server must answer rightly before it trusts a model.

    Made of typical and extreme values, never of a patient's record: they travel with the model.
    """
    quantiles = training.quantile(np.linspace(0, 1, 12), interpolation="nearest").to_numpy(float)
    nothing = np.full(len(FEATURES), np.nan)
    rows = np.vstack([quantiles, nothing, edge_cases(training)[:: len(FEATURES)]])
    # By chance, and easily among few patients, a typical row is somebody's.
    made_up = pd.DataFrame(rows, columns=training.columns)
    return rows[~np.isin(row_hashes(made_up), row_hashes(training))]
