"""Which finished run already did what a step is about to do.

The key of a piece of work is the SHA-256 of all that decides its outcome. A run carries its key as
a tag, and the digests of its outputs as a file; it is reused only where both still hold.
"""

import hashlib
import json
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

from steps.parameters.declaration import as_texts, step_name
from steps.parameters.entry_points import RECALIBRATED, Download, Preprocess, Train
from steps.runs.files import ROOT, sha256
from steps.runs.provenance import digests_of_sources
from steps.runs.sources import resolve_auto, source_digest
from steps.runs.store import StepError, store_errors
from steps.runs.tracking import finished, tags

_BY_CONTENT = ("source", "data", "extra")
"""The parameters that name a file or a run: its content counts, not its name."""


def work_key(values: object) -> str | None:
    """Return the key of a step's work as 64 hex digits, or None where it is never reused.

    The `data` of the parameters must name a run or a file.
    """
    match values:
        case Download():
            digest = source_digest(resolve_auto(values.source))
        case Preprocess():
            digest = _data_digest(values.data)
            digest += sha256(Path(values.extra)) if values.extra else ""
        case Train() if values.model == RECALIBRATED:
            return None  # what the alias of its base names may have changed
        case Train():
            digest = _data_digest(values.data) + _archive_digest(values.data)
        case _:
            return None
    return digest and _key(values, digest)


def _data_digest(data: str) -> str:
    if Path(data).is_file():
        return sha256(Path(data))
    run = MlflowClient().get_run(data)
    return finished.outputs(run)[finished.data_output(run)]


def _archive_digest(data: str) -> str:
    """Return the digest of the other hospitals' data, on which a model is tried out."""
    archive = None if Path(data).is_file() else finished.archive_of(MlflowClient().get_run(data))
    return finished.outputs(archive[0])[archive[1]] if archive else ""


def _key(values: object, digest: str) -> str:
    step = step_name(type(values))
    parameters = {k: v for k, v in as_texts(values).items() if k not in _BY_CONTENT}
    content = {
        "step": step,
        "parameters": parameters,
        "input": digest,
        "sources": digests_of_sources(step),
        "requirements": sha256(ROOT / "requirements.txt"),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def find(step: str, key: str, experiment_id: str) -> Run | None:
    """Return the newest finished run of this work whose outputs are still what they were."""
    runs = finished.finished_runs(experiment_id, step, f"tags.`{tags.KEY_TAG}` = '{key}'")
    return next((run for run in runs if _is_intact(run)), None)


def _is_intact(run: Run) -> bool:
    """Return whether a run has outputs, and all of them still exist and hash the same."""
    try:
        recorded = finished.outputs(run)
        return bool(recorded) and all(
            sha256(finished.fetch_output(run, name)) == digest for name, digest in recorded.items()
        )
    except store_errors(StepError, OSError):
        # Whatever keeps an output from being read, the answer is to make it anew.
        return False
