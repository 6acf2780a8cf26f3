"""The model as it is stored: pipeline, signature, ONNX twin, references, facts and card."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from sklearn.pipeline import Pipeline

from clinical.schema import FEATURES
from steps.modelling import twin
from steps.modelling.estimators import trusted_types
from steps.runs.files import ROOT, as_json, sha256

# What the model needs to be loaded by MLflow's own tools; the twin needs none of it.
REQUIREMENTS = ("mlflow", "numpy", "pandas", "scikit-learn", "scipy", "skops")


def signature() -> ModelSignature:
    """Return the MLflow signature of every model of this project, drawn from FEATURES."""
    inputs = Schema([ColSpec(DataType.double, f.name, required=not f.nullable) for f in FEATURES])
    return ModelSignature(inputs=inputs, outputs=Schema([ColSpec(DataType.long)]))


def example() -> pd.DataFrame:
    """Return the input example: one valid patient, made up of FEATURES' examples."""
    return pd.DataFrame([{feature.name: float(feature.example) for feature in FEATURES}])


def pinned() -> list[str]:
    """Return the pinned requirements of a model, as requirements.txt has them."""
    text = (ROOT / "requirements.txt").read_text()
    pins = re.findall(r"^([\w-]+)(?:\[\S+\])?(==\S+)", text, re.MULTILINE)
    return [name + version for name, version in pins if name in REQUIREMENTS]


def write_extras(
    folder: Path,
    pipeline: Pipeline,
    training: pd.DataFrame,
    facts: Mapping[str, Any],
    content: bytes | None,
) -> list[Path]:
    """Write the twin, its references and the facts into a folder, and return the files.

    `content` is the twin, as ``twin.convert`` gives it.
    """
    files = []
    if content is not None:
        files.append(folder / "twin.onnx")
        files[0].write_bytes(content)
    rows = twin.reference_rows(training)
    probabilities = pipeline.predict_proba(pd.DataFrame(rows, columns=training.columns))[:, 1]
    references = {
        "twin_sha256": sha256(files[0]) if files else None,
        "tolerance": twin.TOLERANCE,
        # JSON has no NaN: an unknown value is null.
        "inputs": [
            [None if math.isnan(value) else value for value in row] for row in rows.tolist()
        ],
        "probabilities": probabilities.tolist(),
    }
    for name, value in (("references.json", references), ("model.json", facts)):
        files.append(folder / name)
        files[-1].write_text(as_json(value))
    return files


def log(
    pipeline: Pipeline,
    model: str,
    extras: list[Path],
    tags: Mapping[str, str],
    calibration: str = "none",
) -> str:
    """Log the model to the active run, and return its URI, ``models:/m-<id>``."""
    info = mlflow.sklearn.log_model(
        pipeline,
        name=f"{model}_model",
        serialization_format="skops",
        skops_trusted_types=trusted_types(model, calibration),
        signature=signature(),
        input_example=example(),
        pip_requirements=pinned(),
        extra_files=[str(path) for path in extras],
        tags=dict(tags),
    )
    return f"models:/{info.model_id}"
