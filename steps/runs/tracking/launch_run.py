"""The run that ``mlflow run`` opens before our code starts.

It is in experiment ``Default`` unless the user chose one. A step adopts that run where the user
chose the experiment (or ``main`` did); otherwise it works in a run of its own in the named
experiment, and the launch run ends as truthfully as the work did and points to it.
See docs/decisions/0002-launch-runs.md.
"""

import os
import subprocess
import sys
from dataclasses import dataclass

import mlflow
from mlflow import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from steps.parameters.uris import redact_credentials
from steps.runs.files import ROOT
from steps.runs.store import StepError, explain, run_or_none, store_errors
from steps.runs.terminal import echo
from steps.runs.tracking.connection import reach, refusal
from steps.runs.tracking.orphans import DEFAULT_EXPERIMENT_ID, owner
from steps.runs.tracking.tags import OWNER_TAG


@dataclass(frozen=True)
class Launch:
    """The run that ``mlflow run`` opened for this process."""

    run_id: str
    experiment_id: str
    nested: bool = False  # whether another step launched it, and reports its result to the user

    @property
    def adoptable(self) -> bool:
        """Whether somebody chose its experiment, so that the work belongs into this very run."""
        return self.experiment_id != DEFAULT_EXPERIMENT_ID

    def end(self, status: str, note: str) -> None:
        """End the run, with the reason as its note."""
        client = MlflowClient()
        client.set_tag(self.run_id, MLFLOW_RUN_NOTE, note)
        client.set_terminated(self.run_id, status)

    def close(self, status: str, note: str) -> None:
        """End the run, where no run of ours has ended it and the store still allows it."""
        try:
            if MlflowClient().get_run(self.run_id).info.status == "RUNNING":
                self.end(status, note)
        except store_errors() as error:
            echo(explain(error))
        if status == "KILLED" and not self.nested:
            _stay_killed(self.run_id)


def connect() -> Launch | None:
    """Make sure that the tracking store answers, and return the launch run of this process, if any.

    It is taken out of the environment: left there, MLFLOW_RUN_ID would win over everything that a
    step says about its runs.

    Raises a `StepError` with one line that names the store and what to do.
    """
    run_id = os.environ.pop("MLFLOW_RUN_ID", "")
    experiment_id = os.environ.pop("MLFLOW_EXPERIMENT_ID", "")
    reach(launched=bool(run_id))
    if not run_id:
        if experiment_id not in ("", DEFAULT_EXPERIMENT_ID):
            os.environ["MLFLOW_EXPERIMENT_ID"] = experiment_id
        return None
    try:
        return _take(run_id, experiment_id or DEFAULT_EXPERIMENT_ID)
    except store_errors() as error:
        raise refusal(error) from None


def _take(run_id: str, experiment_id: str) -> Launch:
    """Mark the launch run as this process's own; refuse one that ``mlflow run`` did not open."""
    run = run_or_none(run_id)
    if run is None or run.info.status != "RUNNING":
        state = f"has ended ({run.info.status})" if run else "does not exist"
        raise StepError(
            f"MLFLOW_RUN_ID names run {run_id}, which {state} in "
            f"{redact_credentials(mlflow.get_tracking_uri())}; unset it, and start again"
        )
    MlflowClient().set_tag(run_id, OWNER_TAG, owner())
    return Launch(run_id, experiment_id, nested=MLFLOW_PARENT_RUN_ID in run.data.tags)


def _stay_killed(run_id: str) -> None:
    """Let a process that outlives ``mlflow run`` end the launch run as KILLED once more.

    MLflow 3.17 means to leave what has ended alone, but takes no text for a status, and ends as
    FAILED whatever did not finish.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "steps.runs.tracking.afterwards", run_id],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    process.returncode = 0  # it outlives this process, which does not wait for it
