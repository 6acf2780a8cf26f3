"""What earlier runs have left: finding them, and what they read and made."""

from __future__ import annotations

from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import Run

from steps.parameters.uris import redact_credentials
from steps.runs.store import StepError, explain, run_or_none, store_errors
from steps.runs.tracking.tags import INPUT_TAG, STEP_TAG


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

    Raises
    ------
    StepError
        Where there is no such run, or it is not a finished, undeleted run of that step.
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
    """Return the run whose output a run has read, None where there is none, or no more."""
    before = run.data.tags.get(INPUT_TAG)
    return run_or_none(before) if before else None


def stored_artifact(run_id: str, path: str) -> Path | None:
    """Return a local copy of an artifact of a run, None where the run has none.

    Raises
    ------
    StepError
        Where the store fails: what it does not give may well be there.
    """
    try:
        found = MlflowClient().list_artifacts(run_id, path.rpartition("/")[0] or None)
        if path not in {file.path for file in found}:
            return None
        return Path(download_artifacts(run_id=run_id, artifact_path=path))
    except store_errors(OSError) as error:
        raise StepError(
            f"the tracking store does not give {path} of run {run_id}: {explain(error)}"
        ) from None


def artifact_uri(run_id: str, name: str) -> str:
    """Return where an artifact of a run is kept."""
    return f"{MlflowClient().get_run(run_id).info.artifact_uri}/{name}"
