"""Small models and jobs for the tests of scoring."""

from __future__ import annotations

from pathlib import Path

import mlflow.sklearn
import pandas as pd
from sklearn.pipeline import Pipeline

from risk_model.metadata import Metadata
from risk_model.serialization import REVIEWED_TYPES
from steps.batch.engine import Packed, pack
from steps.batch.inputs import find
from steps.batch.job import Job
from steps.batch.parts import Parts, key_of
from steps.modelling import artifact, estimators, twin

BANDS = [{"level": "Low", "from": 0.0}, {"level": "Moderate", "from": 0.3},
         {"level": "High", "from": 0.7}]  # fmt: skip


def stored(folder: Path, pipeline: Pipeline, training: pd.DataFrame) -> Path:
    """Write what scoring reads of a stored model, and return its folder."""
    extras = folder / "extra_files"
    extras.mkdir(parents=True)
    known = {"run_id": "a" * 32, "risk_bands": BANDS, "data": {"source": "synthetic"}}
    content = twin.convert(pipeline, training)
    references = twin.reference_cases(pipeline, training)
    artifact.write_extras(extras, Metadata.of(known), references, content)
    return folder


def saved(folder: Path, pipeline: Pipeline, training: pd.DataFrame) -> Path:
    """Store a model as MLflow does, with what this project adds, and return its folder."""
    extras = stored(folder / "extras", pipeline, training) / "extra_files"
    mlflow.sklearn.save_model(
        pipeline,
        folder / "model",
        serialization_format="skops",
        skops_trusted_types=list(REVIEWED_TYPES),
        signature=artifact.signature(),
        pip_requirements=artifact.pinned(),
        extra_files=[str(path) for path in sorted(extras.iterdir())],
    )
    return folder / "model"


def forest(features: pd.DataFrame, y: object) -> Pipeline:
    """Fit a small calibrated forest."""
    pipeline = estimators.build("random_forest", 15, 4, 1, 1, calibration="sigmoid")
    return estimators.fit(pipeline, features, y)


def packed_from(folder: Path, version: str = "registry-v3") -> Packed:
    """Pack a stored model."""
    return pack(folder, version)


def job_of(source: Path | str, output: Path, packed: Packed) -> Job:
    """Plan a job for a model that is in no registry."""
    files = find(str(source))
    parts = Parts(output, key_of([file.key for file in files], packed.digest))
    return Job(str(source), output, files, "models:/m/3", "uci", packed, parts)
