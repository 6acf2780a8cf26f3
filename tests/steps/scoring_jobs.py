"""Small models for the tests of scoring, and scoring without a cluster."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

import mlflow.sklearn
import pandas as pd
from sklearn.pipeline import Pipeline

from clinical.dialects import CANONICAL, Dialect
from steps.batch.engine import Packed, pack
from steps.batch.inputs import Partition
from steps.batch.scoring import SCHEMA, Counts, Recipe, score
from steps.modelling import artifact, estimators, twin

BANDS = [{"level": "Low", "from": 0.0}, {"level": "Moderate", "from": 0.3},
         {"level": "High", "from": 0.7}]  # fmt: skip


def stored(folder: Path, pipeline: Pipeline, training: pd.DataFrame) -> Path:
    """Write what scoring reads of a stored model, and return its folder."""
    extras = folder / "extra_files"
    extras.mkdir(parents=True)
    known = {"run_id": "a" * 32, "risk_bands": BANDS, "data": {"source": "synthetic"}}
    content = twin.convert(pipeline, training)
    artifact.write_extras(extras, pipeline, training, known, content)
    return folder


def saved(folder: Path, pipeline: Pipeline, training: pd.DataFrame, model: str) -> Path:
    """Store a model as MLflow does, with what this project adds, and return its folder."""
    extras = stored(folder / "extras", pipeline, training) / "extra_files"
    mlflow.sklearn.save_model(
        pipeline,
        folder / "model",
        serialization_format="skops",
        skops_trusted_types=estimators.trusted_types(model, "sigmoid"),
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
    facts = json.loads((folder / "extra_files" / "model.json").read_text())
    return pack(folder, facts, version)


def score_partitions(
    partitions: Iterable[Partition],
    model: Path,
    coding: Dialect = CANONICAL,
    bands: tuple[tuple[str, float], ...] = (("Low", 0.0), ("Moderate", 0.3), ("High", 0.7)),
) -> tuple[pd.DataFrame, Counts]:
    """Score partitions in this process; return the output as one table, and the counts."""
    counts = Counts()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "model").symlink_to(model)
        parts = Path(folder, "parts")
        parts.mkdir()
        recipe = Recipe(folder, "registry-v3", bands, coding, tuple(SCHEMA))
        for number, partition in enumerate(partitions):
            counts.update(score(partition, f"part-{number:06}.parquet", recipe))
        assert sorted(path.name for path in Path(folder).iterdir()) == ["model", "parts"]
        return pd.read_parquet(parts), counts
