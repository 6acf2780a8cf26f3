"""Which experiment a step works in."""

import json
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

from steps.modelling import clinical_metrics, metrics
from steps.runs.store import StepError
from steps.runs.tracking.experiment import EXPERIMENT, experiment_name, open_experiment
from steps.runs.tracking.launch_run import Launch, connect


def test_the_experiment_has_a_view_of_figures_that_train_logs(client: MlflowClient) -> None:
    made = client.get_experiment(open_experiment(None))
    view = json.loads(made.tags["mlflow.sharedViewState.trained"])
    logged = {*metrics.NAMES, *(f"cv_{name}" for name in clinical_metrics.COMPARED)}
    shown = {name.split("`")[1] for name in view["selectedColumns"] if name.startswith("metrics.")}
    assert {"cv_roc_auc", "brier"} <= shown <= logged
    link = f"#/experiments/{made.experiment_id}/runs?viewStateShareKey=trained"
    assert link in made.tags["mlflow.note.content"]


def test_an_experiment_made_by_another_process_in_between_is_used(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = MlflowClient.create_experiment

    def too_late(self: MlflowClient, name: str, *more: Any, **how: Any) -> str:
        create(self, name)
        return str(create(self, name, *more, **how))

    monkeypatch.setattr(MlflowClient, "create_experiment", too_late)
    made = open_experiment(None)
    assert made == client.get_experiment_by_name(EXPERIMENT).experiment_id


def test_a_chosen_experiment_stays_chosen(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = client.create_experiment("chosen")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", chosen)
    assert connect() is None
    assert open_experiment(None) == chosen
    # So does one that was chosen for the launch.
    assert open_experiment(Launch("0" * 32, "7")) == "7"


@pytest.mark.parametrize(("variable", "value", "experiment"), [
    ("MLFLOW_EXPERIMENT_NAME", "Mine, too", "Mine, too"),
    *((name, "", EXPERIMENT) for name in ("MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME",
                                          "MLFLOW_RUN_ID", "MLFLOW_HTTP_REQUEST_TIMEOUT")),
])  # fmt: skip
def test_the_user_may_name_another_experiment_and_an_empty_variable_is_as_good_as_none(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch,
    *, variable: str, value: str, experiment: str,
) -> None:  # fmt: skip
    monkeypatch.setenv(variable, value)
    assert connect() is None
    assert client.get_experiment(open_experiment(None)).name == experiment


@pytest.mark.parametrize(("chosen", "path"), [
    ("", "/Shared/Heart Disease Prediction"),
    ("Mine", "/Shared/Mine"),
    ("/Users/me@example.org/heart", "/Users/me@example.org/heart"),
])  # fmt: skip
def test_on_databricks_the_experiment_is_a_path_in_the_workspace(
    monkeypatch: pytest.MonkeyPatch, chosen: str, path: str
) -> None:
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: "databricks")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", chosen)
    assert experiment_name() == path


def test_a_deleted_experiment_is_refused_with_the_way_out(
    client: MlflowClient, experiment_id: str
) -> None:
    client.delete_experiment(experiment_id)
    with pytest.raises(StepError) as caught:
        open_experiment(None)
    assert "'Heart Disease Prediction' is deleted" in str(caught.value)
    assert f"mlflow experiments restore --experiment-id {experiment_id}" in str(caught.value)
