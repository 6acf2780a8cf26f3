"""The model as it is stored: pipeline, signature, ONNX twin, references, facts and card."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from sklearn.pipeline import Pipeline

from clinical.schema import FEATURES
from risk_model.metadata import Metadata, References
from risk_model.serialization import REVIEWED_TYPES
from steps.runs.files import ROOT, sha256

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
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return [line for line in lines if re.split("[=<>]", line)[0] in REQUIREMENTS]


def write_extras(
    folder: Path, metadata: Metadata, references: References, content: bytes | None
) -> list[Path]:
    """Write the ONNX model, its references and the metadata into a folder; return the files.

    `content` is the ONNX model, as ``twin.convert`` gives it.
    """
    files = []
    if content is not None:
        files.append(folder / "twin.onnx")
        files[0].write_bytes(content)
        digest = sha256(files[0])
        references = references.model_copy(update={"twin_sha256": digest})
    texts = {"references.json": references.as_json(), "model.json": metadata.as_json()}
    for name, text in texts.items():
        files.append(folder / name)
        files[-1].write_text(text)
    return files


def log(
    pipeline: Pipeline,
    model: str,
    extras: list[Path],
    tags: Mapping[str, str],
) -> str:
    """Log the model to the active run, and return its URI, ``models:/m-<id>``."""
    info = mlflow.sklearn.log_model(
        pipeline,
        name=f"{model}_model",
        serialization_format="skops",
        skops_trusted_types=list(REVIEWED_TYPES),
        signature=signature(),
        input_example=example(),
        pip_requirements=pinned(),
        extra_files=[str(path) for path in extras],
        tags=dict(tags),
    )
    return f"models:/{info.model_id}"
