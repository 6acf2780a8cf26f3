"""Small models for the tests of scoring, and scoring without a cluster."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from sklearn.ensemble import StackingClassifier

from clinical.codings.definitions import CANONICAL, Coding
from risk_model.bands import RISK_BANDS, Bands
from risk_model.flavours import saving
from risk_model.flavours.saving import Contents
from risk_model.metadata import Metadata
from steps.batch.inputs import Partition
from steps.batch.scoring import SCHEMA, Counts, Scorer
from steps.modelling import onnx_export
from steps.modelling.references import reference_cases


def stored(
    folder: Path, model: StackingClassifier, training: pd.DataFrame, bands: Bands = RISK_BANDS
) -> Path:
    """Write a stored model as `train` does, and return its folder."""
    levels = [{"level": name, "from": start} for name, start in bands]
    metadata = Metadata.of(
        {"format": 2, "run_id": "a" * 32, "risk_bands": levels, "data": {"source": "synthetic"}}
    )
    content = onnx_export.convert(model, training)
    references = reference_cases(model, training)
    saving.save_model(str(folder), Contents(model, content, metadata, references), ["mlflow"])
    return folder


def score_partitions(
    partitions: Iterable[Partition], model: Path, coding: Coding = CANONICAL
) -> tuple[pd.DataFrame, Counts]:
    """Score partitions in this process; return the output as one table, and the counts."""
    counts = Counts()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "model").symlink_to(model)
        Path(folder, "parts").mkdir()
        scorer = Scorer(folder, "registry-v3", coding, list(SCHEMA))
        for partition in partitions:
            counts.update(scorer.score(partition))
        assert sorted(path.name for path in Path(folder).iterdir()) == ["model", "parts"]
        return pd.read_parquet(Path(folder, "parts")), counts
