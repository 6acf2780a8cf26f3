"""Starting steps through ``mlflow.run``, or reusing the run that already did the work."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import mlflow
from mlflow.entities import Run
from mlflow.exceptions import ExecutionException
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from steps.runs import reuse
from steps.runs.files import ROOT
from steps.runs.parameters import ENTRY_POINTS, Value
from steps.runs.store import StepError
from steps.runs.tracking import StepRun, finished_runs, say

BUILDS = {
    "preprocess": "download",
    "train": "preprocess",
    "sweep": "preprocess",
    "register": "train",
}
"""The step that makes the input of each step."""


def ensure(step: str, values: Mapping[str, Value], run: StepRun, cache: bool = True) -> Run:
    """Return a finished run of a step: one that already did this work, else a new one.

    Parameters
    ----------
    step : str
        Name of the entry point.
    values : mapping of str to value
        Its parameters; more than it takes are ignored.
    run : StepRun
        The open run under which a new one nests.
    cache : bool
        False to do the work anew whatever there is.

    Raises
    ------
    StepError
        With the message of the step that failed.
    """
    own = {p.name: values[p.name] for p in ENTRY_POINTS[step] if p.name in values}
    work = reuse.work_key(step, own) if cache else None
    if work and (done := reuse.find(step, work, run.experiment_id)):
        say(f"{step}: reused run {done.info.run_id}, nothing that decides its outcome has changed")
        run.tag(f"heart.reused.{step}", done.info.run_id)
        return done
    return launch(step, own, run)


def launch(step: str, values: Mapping[str, Value], run: StepRun) -> Run:
    """Start a step as a child of the open run, wait for it, and return its run."""
    _put_interpreter_first()
    texts = {name: str(v).lower() if isinstance(v, bool) else str(v) for name, v in values.items()}
    with tempfile.TemporaryDirectory() as storage:
        try:
            submitted = mlflow.run(  # type: ignore[no-untyped-call]
                uri=str(ROOT),
                entry_point=step,
                parameters=texts,
                experiment_id=run.experiment_id,
                run_name=step,
                # The parent runs in the environment that was built for this project already.
                env_manager="local",
                storage_dir=storage,
            )
        except ExecutionException as error:
            raise StepError(_reason(step, error)) from None
    return mlflow.MlflowClient().get_run(submitted.run_id)


def _put_interpreter_first() -> None:
    """Make the ``python`` of MLproject's commands the one that runs this process."""
    folder, path = str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)
    if path.split(os.pathsep)[0] != folder:
        os.environ["PATH"] = os.pathsep.join([folder, path])
    found = shutil.which("python")
    if found is None or not os.path.samefile(found, sys.executable):
        raise StepError(
            f"steps are started as 'python', which must be {sys.executable}, but is "
            f"{found or 'not there'}; run this in a virtual environment (python -m venv)"
        )


def _reason(step: str, error: ExecutionException) -> str:
    """Say why a step failed: MLflow tells its run id, and the run's note tells the rest."""
    found = re.search(r"ID '(\w+)'", str(error))
    if not found:
        return f"{step} could not be started: {error}"
    note = mlflow.MlflowClient().get_run(found[1]).data.tags.get(MLFLOW_RUN_NOTE)
    return f"{step} failed: {note or 'see its output above'} (run {found[1]})"


def input_run(step: str, experiment_id: str, run: StepRun) -> Run:
    """Return the latest finished run of the step before this one; build it where there is none."""
    before = BUILDS[step]
    if runs := finished_runs(experiment_id, before):
        return runs[0]
    say(f"{step}: there is no finished {before} run yet, so it is built first")
    return launch(before, {}, run)
