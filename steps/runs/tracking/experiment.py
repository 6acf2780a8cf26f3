"""The experiment in which the steps work."""

import json
import os
import re

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from steps.runs.store import DATABASES, StepError, scheme
from steps.runs.tracking.launch_run import Launch
from steps.runs.tracking.orphans import DEFAULT_EXPERIMENT_ID

EXPERIMENT = "Heart Disease Prediction"
SHOWN = ("cv_roc_auc", "cv_brier", "cv_calibration_slope", "roc_auc", "brier")
"""The metrics that are columns of the view of trained models."""
VIEW = "trained"
EXPERIMENT_TAGS = {
    # MLflow's pages show the runs of a model's training at once, instead of guessing.
    "mlflow.experimentKind": "custom_model_development",
    # A view as MLflow's "Share" saves it; by itself a table of runs has no column of a metric.
    f"mlflow.sharedViewState.{VIEW}": json.dumps(
        {
            "searchFilter": "tags.`heart.step` = 'train'",
            "selectedColumns": ["params.`model`", *(f"metrics.`{name}`" for name in SHOWN)],
        }
    ),
}
NOTE = (
    "The steps are below `main`. "
    "[Trained models side by side](#/experiments/{}/runs?viewStateShareKey={})"
)


def experiment_name() -> str:
    """Return the name of the experiment; on Databricks it is a path in the workspace."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    relative = scheme(mlflow.get_tracking_uri()) == "databricks" and not name.startswith("/")
    return f"/Shared/{name}" if relative else name


def open_experiment(launch: Launch | None) -> str:
    """Return the id of the experiment to work in; made where it does not exist yet."""
    if launch and launch.adoptable:
        return launch.experiment_id
    if chosen := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return chosen
    name = experiment_name()
    if existing := _existing(name):
        return existing
    try:
        client, location = MlflowClient(), _artifact_location(name)
        created = str(client.create_experiment(name, location, tags=EXPERIMENT_TAGS))
        client.set_experiment_tag(created, "mlflow.note.content", NOTE.format(created, VIEW))
        return created
    except MlflowException:
        # Another process made it in the meantime.
        if existing := _existing(name):
            return existing
        raise


def _existing(name: str) -> str | None:
    experiment = MlflowClient().get_experiment_by_name(name)
    if experiment is None:
        return None
    if experiment.lifecycle_stage == "deleted":
        raise StepError(
            f"the experiment '{name}' is deleted; restore it "
            f"(mlflow experiments restore --experiment-id {experiment.experiment_id}) "
            "or set MLFLOW_EXPERIMENT_NAME to another name"
        )
    return str(experiment.experiment_id)


def _artifact_location(name: str) -> str | None:
    """Return where a new experiment's artifacts go; None leaves it to the tracking server.

    With a database as the store, MLflow would put them below the current directory, which for a
    project from a git URL is a clone that will be deleted. They go beside Default's instead.
    """
    if scheme(mlflow.get_tracking_uri()) not in ("sqlite", *DATABASES):
        return None
    default = MlflowClient().get_experiment(DEFAULT_EXPERIMENT_ID)
    folder = re.sub(r"\W+", "-", name.lower()).strip("-")
    return f"{default.artifact_location.rsplit('/', 1)[0]}/{folder}"
