"""Small models and jobs for the tests of scoring."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from sklearn.pipeline import Pipeline

from risk_model.flavours import saving
from risk_model.flavours.saving import Contents
from risk_model.metadata import Metadata
from steps.batch.engine import Packed, pack
from steps.batch.inputs import find
from steps.batch.job import Job
from steps.batch.parts import Parts, key_of
from steps.modelling import estimators, twin

BANDS = [{"level": "Low", "from": 0.0}, {"level": "Moderate", "from": 0.3},
         {"level": "High", "from": 0.7}]  # fmt: skip


def stored(folder: Path, pipeline: Pipeline, training: pd.DataFrame) -> Path:
    """Write a stored model as `train` does, and return its folder."""
    metadata = Metadata.of(
        {"format": 2, "run_id": "a" * 32, "risk_bands": BANDS, "data": {"source": "synthetic"}}
    )
    content, references = twin.convert(pipeline, training), twin.reference_cases(pipeline, training)
    saving.save_model(str(folder), Contents(pipeline, content, metadata, references), ["mlflow"])
    return folder


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
