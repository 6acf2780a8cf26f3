"""The run of a step ends with the truth, and so does the launch run."""

import errno
import os
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

from clinical.schema import LABEL
from steps.parameters.declaration import check
from steps.parameters.entry_points import Preprocess, Train
from steps.runs.files import sha256
from steps.runs.store import StepError
from steps.runs.tracking import finished
from steps.runs.tracking.datasets import PATIENTS, as_dataset, log_dataset
from steps.runs.tracking.launch_run import Launch
from steps.runs.tracking.opening import open_run
from tests.steps.conftest import status
from tests.steps.stores import locked

VALUES = check(Preprocess, {})


def test_a_run_is_named_once_and_knows_the_digests_of_its_outputs(
    client: MlflowClient, experiment_id: str, tmp_path: Path
) -> None:
    (tmp_path / "report.json").write_text("{}")
    with open_run(VALUES, None, experiment_id) as run:
        run.log_file(tmp_path / "report.json", "folder")
        run.rename("uci")
        run.rename("again")
    done = client.get_run(run.run_id)
    assert done.info.run_name == "preprocess uci"
    assert finished.outputs(done) == {"folder/report.json": sha256(tmp_path / "report.json")}
    assert "heart.owner" not in done.data.tags


def test_a_figure_is_logged_with_its_dataset_and_not_at_all_where_it_is_undefined(
    client: MlflowClient, experiment_id: str
) -> None:
    patients = pd.DataFrame({"age": [54.0, 61.0], LABEL.name: [0, 1]})
    with open_run(VALUES, None, experiment_id) as run:
        log_dataset(run, as_dataset(patients, uri="/data/patients.parquet"), "uci")
        run.log_metrics({"brier": 0.1, "roc_auc": None, "f1": float("nan")}, PATIENTS)
    assert client.get_run(run.run_id).data.metrics == {"brier": 0.1}
    (given,) = client.get_run(run.run_id).inputs.dataset_inputs
    assert run.datasets[PATIENTS].digest == given.dataset.digest


@pytest.mark.parametrize(("given", "name"), [("wise-owl-123", "train"), ("Tuesday", "Tuesday")])
def test_a_launch_in_a_chosen_experiment_is_the_run_of_the_step(
    client: MlflowClient, experiment_id: str, given: str, name: str
) -> None:
    made = client.create_run(experiment_id, run_name=given)
    # `mlflow run` has logged its parameters already, quoted for a shell.
    client.log_param(made.info.run_id, "data", "''")
    launch = Launch(made.info.run_id, experiment_id)
    with open_run(check(Train, {}), launch, experiment_id) as run:
        assert run.run_id == made.info.run_id
    done = client.get_run(run.run_id)
    assert (done.info.status, done.info.run_name) == ("FINISHED", name)
    assert done.data.params["data"] == "''"
    assert done.data.params["max_depth"] == "5"


def test_an_artifact_that_does_not_fit_on_the_disk_fails_the_step_and_leaves_nothing(
    client: MlflowClient, experiment_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "patients.parquet").write_text("content")
    honest = MlflowClient.log_artifact

    def fills_up(self: MlflowClient, run_id: str, path: str, folder: str | None) -> None:
        honest(self, run_id, path, folder)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/somewhere")

    monkeypatch.setattr(MlflowClient, "log_artifact", fills_up)
    with (
        pytest.raises(StepError, match=r"artifact data/patients\.parquet: No space left"),
        open_run(VALUES, None, experiment_id) as run,
    ):
        run.log_file(tmp_path / "patients.parquet", "data")
    assert status(client, run.run_id) == "FAILED"
    assert client.list_artifacts(run.run_id, "data") == []


def test_a_store_that_goes_away_does_not_hide_the_first_error(
    experiment_id: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(MlflowClient, "set_terminated", locked)
    with pytest.raises(ZeroDivisionError), open_run(VALUES, None, experiment_id):
        raise ZeroDivisionError
    assert "could not be closed: database is locked" in capsys.readouterr().err
