"""Storing a trained model: with MLflow, and a working copy."""

import tempfile
from pathlib import Path

import joblib
from mlflow.artifacts import download_artifacts
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from risk_model.card import rendering, wording
from risk_model.flavours import saving
from risk_model.layout import METADATA
from risk_model.metadata import Metadata
from steps.modelling import references, training
from steps.runs.files import ROOT, copy_atomically, replacing, sha256
from steps.runs.provenance import requirements
from steps.runs.tracking.step_run import StepRun
from steps.runs.tracking.tags import SOURCE_TAG


def log_model(
    run: StepRun, trained: training.Training, content: bytes | None, metadata: Metadata
) -> str:
    """Log the model and return its id; keep a working copy, a pickle with its SHA-256 beside it."""
    cases = references.reference_cases(trained.model, trained.features)
    tags = {
        SOURCE_TAG: trained.data.source,
        MLFLOW_RUN_NOTE: wording.described(metadata.measured),
    }
    with tempfile.TemporaryDirectory() as folder:
        cards = rendering.write(Path(folder), metadata)
        contents = saving.Contents(trained.model, content, metadata, cases, cards)
        uri = saving.log(f"{trained.given.model}_model", contents, requirements(), tags)
        stored = Path(download_artifacts(artifact_uri=uri))
        run.outputs[uri] = sha256(stored)
        for page in cards:
            run.log_file(page)
    target = ROOT / "models" / "model.pkl"
    with replacing(target) as part:
        joblib.dump(trained.model, part)
        digest = sha256(part)
    copy_atomically(stored / METADATA, target.with_name("model.json"))
    with replacing(target.with_name("model.pkl.sha256")) as part:
        part.write_text(f"{digest}  {target.name}\n")
    return uri.removeprefix("models:/")
