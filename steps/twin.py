"""The ONNX twin of a pipeline: the same probabilities, without Python objects to load."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime
import pandas as pd
from numpy.typing import NDArray
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator
from sklearn.pipeline import Pipeline

from clinical.frame import row_hashes
from clinical.schema import FEATURES

TOLERANCE = 1e-5
"""Largest difference in probability between a pipeline and its twin: float32 against float64."""


class TwinError(ValueError):
    """The converted model does not say what the pipeline says."""


def convert(pipeline: Pipeline, training: pd.DataFrame) -> bytes | None:
    """Return the ONNX model of a fitted pipeline, or None where skl2onnx cannot convert it.

    Input ``patients`` float32 (n, 13) with NaN for unknown; outputs ``label`` int64 (n,) and
    ``probabilities`` float32 (n, 2).

    Raises
    ------
    TwinError
        Where a probability differs by more than TOLERANCE on the training rows or edge cases.
    """
    try:
        model = convert_sklearn(
            pipeline,
            initial_types=[("patients", FloatTensorType([None, len(FEATURES)]))],
            options={"zipmap": False},
            target_opset={"": 21, "ai.onnx.ml": 3},
        )
    except (MissingConverter, MissingShapeCalculator, RuntimeError, ValueError):
        # Such as HistGradientBoosting, whose attributes skl2onnx 1.20 cannot write.
        return None
    content: bytes = model.SerializeToString()
    rows = np.vstack([training.to_numpy(float), edge_cases(training)])
    expected = pipeline.predict_proba(pd.DataFrame(rows, columns=training.columns))[:, 1]
    worst = float(np.abs(predict(content, rows) - expected).max())
    if not worst <= TOLERANCE:  # NaN is no agreement either
        raise TwinError(f"the ONNX twin differs by {worst:.2g} in probability from the pipeline")
    return content


def predict(content: bytes, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the twin's probabilities of disease, shape (n,), for rows of shape (n, 13)."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    _, probabilities = session.run(None, {"patients": rows.astype(np.float32)})
    return np.asarray(probabilities[:, 1], dtype=float)


def edge_cases(training: pd.DataFrame) -> NDArray[np.float64]:
    """Return rows at the ends of every feature's range, and with every value unknown in turn."""
    usual = training.quantile(0.5, interpolation="nearest").to_numpy(float)
    rows = [usual, np.full(len(FEATURES), np.nan)]
    for i, feature in enumerate(FEATURES):
        values: Sequence[float] = [*feature.codes, feature.low, feature.high, np.nan]
        for value in values:
            row = usual.copy()
            row[i] = value
            rows.append(row)
    return np.array(rows)


def reference_rows(training: pd.DataFrame, count: int = 12) -> NDArray[np.float64]:
    """Return the rows that a server must answer rightly before it trusts a model.

    Made of typical and extreme values, never of a patient's record: they travel with the model.
    """
    quantiles = training.quantile(np.linspace(0, 1, count), interpolation="nearest").to_numpy(float)
    unknown = np.array([quantiles[count // 2], np.full(len(FEATURES), np.nan)])
    unknown[:, [feature.nullable for feature in FEATURES]] = np.nan
    rows = np.vstack([quantiles, unknown, edge_cases(training)[:: len(FEATURES)]])
    # By chance, and easily among few patients, a typical row is somebody's.
    made_up = pd.DataFrame(rows, columns=training.columns)
    return rows[~np.isin(row_hashes(made_up), row_hashes(training))]
