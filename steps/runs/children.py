"""Starting a step as a child of the open run, through ``mlflow.run``."""

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import ExecutionException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from steps.parameters.declaration import as_texts, step_name
from steps.runs.files import ROOT
from steps.runs.store import StepError
from steps.runs.tracking.step_run import StepRun


def launch(values: object, run: StepRun) -> Run:
    """Start a step as a child of the open run, wait for it, and return its run."""
    _put_interpreter_first()
    step = step_name(type(values))
    with tempfile.TemporaryDirectory() as storage:
        try:
            submitted = mlflow.run(  # type: ignore[no-untyped-call]
                uri=str(ROOT),
                entry_point=step,
                parameters=as_texts(values),
                experiment_id=run.experiment_id,
                run_name=step,
                # The parent runs in the environment that was built for this project already.
                env_manager="local",
                storage_dir=storage,
            )
        except ExecutionException as error:
            raise StepError(_failure(step, error)) from None
        except KeyboardInterrupt:
            _mark_stopped(run)
            raise
    return MlflowClient().get_run(submitted.run_id)


def _put_interpreter_first() -> None:
    """Make the ``python`` of MLproject's commands the one that runs this process."""
    folder, path = str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)
    if path.split(os.pathsep)[0] != folder:
        os.environ["PATH"] = os.pathsep.join([folder, path])
    python = shutil.which("python")
    if python is None or not os.path.samefile(python, sys.executable):
        raise StepError(
            f"steps are started as 'python', which must be {sys.executable}, but is "
            f"{python or 'not there'}; run this in a virtual environment (python -m venv)"
        )


def _failure(step: str, error: ExecutionException) -> str:
    """Return why a step failed: MLflow gives its run id, and the run's note the rest."""
    run_id = re.search(r"ID '(\w+)'", str(error))
    if not run_id:
        return f"{step} could not be started: {error}"
    note = MlflowClient().get_run(run_id[1]).data.tags.get(MLFLOW_RUN_NOTE)
    return f"{step} failed: {note or 'see its output above'} (run {run_id[1]})"


def _mark_stopped(run: StepRun) -> None:
    """End as KILLED the stopped runs below a run: MLflow calls them FAILED."""
    client = MlflowClient()
    query = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run.run_id}' and attributes.status != 'FINISHED'"
    for child in client.search_runs([run.experiment_id], query):
        client.set_terminated(child.info.run_id, "KILLED")
