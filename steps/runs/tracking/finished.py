"""Earlier runs: finding them, and their inputs and outputs."""

import json
from functools import lru_cache
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run

from steps.parameters.uris import redact_credentials
from steps.runs.store import StepError, explain, run_or_none, store_errors
from steps.runs.tracking.tags import INPUT_TAG, OUTPUTS_FILE, OUTPUTS_TAG, STEP_TAG

DATA_FOLDER = "data"
"""The artifact folder in which a run keeps the one file that the next step reads."""


def finished_runs(experiment_id: str, step: str, condition: str = "") -> list[Run]:
    """Return the finished, undeleted runs of a step, newest first."""
    query = f"attributes.status = 'FINISHED' and tags.`{STEP_TAG}` = '{step}'"
    if condition:
        query += f" and {condition}"
    return list(
        MlflowClient().search_runs(
            [experiment_id], query, order_by=["attributes.start_time DESC"], max_results=50
        )
    )


def finished_run(run_id: str, step: str) -> Run:
    """Return a finished run of a step by its id.

    Raises a `StepError` where there is no such run, or it is not a finished, undeleted run of that
    step.
    """
    run = run_or_none(run_id)
    if run is None:
        store = redact_credentials(mlflow.get_tracking_uri())
        raise StepError(f"there is no run {run_id} in {store}")
    actual = run.data.tags.get(STEP_TAG, "another")
    if actual != step:
        raise StepError(f"run {run_id} is of step '{actual}', not of '{step}'")
    if run.info.status != "FINISHED" or run.info.lifecycle_stage != "active":
        state = "deleted" if run.info.lifecycle_stage != "active" else run.info.status
        raise StepError(f"run {run_id} of step '{step}' is {state}; it must be FINISHED")
    return run


def latest_or_named(step: str, data: str, experiment_id: str) -> Run | None:
    """Return the run of a step that `data` names, the latest for "", None for a path or no run."""
    if not data:
        return next(iter(finished_runs(experiment_id, step)), None)
    return None if Path(data).is_file() else finished_run(data, step)


def input_of(run: Run) -> Run | None:
    """Return the run whose output a run has read, None where there is none, or it was deleted."""
    before = run.data.tags.get(INPUT_TAG)
    return run_or_none(before) if before else None


def stored_artifact(run_id: str, path: str) -> Path | None:
    """Return a local copy of an artifact of a run, None where the run has none.

    Raises a `StepError` where the store fails: what it does not give may well be there.
    """
    try:
        artifacts = MlflowClient().list_artifacts(run_id, path.rpartition("/")[0] or None)
        if path not in {file.path for file in artifacts}:
            return None
        return Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=path))
    except store_errors(OSError) as error:
        raise StepError(
            f"the tracking store does not give {path} of run {run_id}: {explain(error)}"
        ) from None


def artifact_uri(run_id: str, name: str) -> str:
    """Return where an artifact of a run is kept."""
    return f"{MlflowClient().get_run(run_id).info.artifact_uri}/{name}"


def outputs(run: Run) -> dict[str, str]:
    """Return the SHA-256 of each output of a run by its artifact path or model URI."""
    return dict(json.loads(run.data.tags.get(OUTPUTS_TAG) or _recorded(run.info.run_id)))


@lru_cache
def _recorded(run_id: str) -> str:
    """Return the recorded outputs of a run that has ended, which do not change any more."""
    path = stored_artifact(run_id, OUTPUTS_FILE)
    return path.read_text() if path else "{}"


def data_output(run: Run) -> str:
    """Return the artifact path of the file that the next step reads; empty where there is none."""
    return next((name for name in outputs(run) if name.startswith(f"{DATA_FOLDER}/")), "")


def fetch_output(run: Run, name: str) -> Path:
    """Return a local copy of an output: an artifact path of the run, or a model's URI."""
    uri = name if name.startswith("models:/") else f"runs:/{run.info.run_id}/{name}"
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))


def archive_of(prepared: Run) -> tuple[Run, str] | None:
    """Return the run and the output that hold the zip from which patients were prepared."""
    before = input_of(prepared)
    name = data_output(before) if before else ""
    return (before, name) if before and name.endswith(".zip") else None
