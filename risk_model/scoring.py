"""Probabilities of a stored model, by its ONNX twin where it has one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from risk_model.stored import read_estimator

EXTRAS = "extra_files"
"""The folder inside a stored model in which MLflow keeps what we add to it."""


def probabilities(folder: Path, patients: pd.DataFrame) -> NDArray[np.float64]:
    """Return the probability of disease of each patient, shape (n_patients,).

    Parameters
    ----------
    folder : Path
        A model as MLflow stores it.
    patients : DataFrame
        The 13 features in the order of FEATURES.
    """
    found = folder / EXTRAS / "twin.onnx"
    if found.is_file():
        import onnxruntime

        session = onnxruntime.InferenceSession(found, providers=["CPUExecutionProvider"])
        _, twin = session.run(None, {"patients": patients.to_numpy(np.float32)})
        return np.asarray(twin[:, 1], dtype=float)
    return np.asarray(read_estimator(folder).predict_proba(patients)[:, 1], dtype=float)
