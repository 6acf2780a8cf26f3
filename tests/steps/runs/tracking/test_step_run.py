"""The run of a step ends with the truth, and so does the launch run."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from clinical.schema import LABEL
from steps.parameters.declaration import check
from steps.parameters.entry_points import Preprocess, Train
from steps.runs.files import sha256
from steps.runs.store import StepError
from steps.runs.tracking import finished
from steps.runs.tracking.datasets import PATIENTS, as_dataset, log_dataset
from steps.runs.tracking.launch_run import Launch, connect
from steps.runs.tracking.opening import open_run
from steps.runs.tracking.tags import STEP_TAG
from tests.steps.conftest import note, status

VALUES = check(Preprocess, {})


def test_the_launch_run_is_taken_out_of_the_environment(launch_run: str) -> None:
    launch = connect()
    assert launch == Launch(launch_run, "0")
    assert not launch.adoptable
    assert "MLFLOW_RUN_ID" not in os.environ
    assert "MLFLOW_EXPERIMENT_ID" not in os.environ
    assert connect() is None


def test_a_step_that_ends_well_leaves_a_finished_run_with_its_outputs(
    client: MlflowClient, experiment_id: str, tmp_path: Path
) -> None:
    (tmp_path / "report.json").write_text("{}")
    with open_run(VALUES, None, experiment_id) as run:
        assert status(client, run.run_id) == "RUNNING"
        run.log_file(tmp_path / "report.json", "folder")
        run.tag("data.source", "uci")
    done = client.get_run(run.run_id)
    assert (done.info.status, done.info.run_name) == ("FINISHED", "preprocess")
    assert done.data.params == {"data": "", "extra": "", "coding": "auto"}
    assert (done.data.tags[STEP_TAG], done.data.tags["data.source"]) == ("preprocess", "uci")
    digest = sha256(tmp_path / "report.json")
    assert finished.outputs(done) == {"folder/report.json": digest}
    assert [f.path for f in client.list_artifacts(run.run_id, "folder")] == ["folder/report.json"]
    assert "heart.owner" not in done.data.tags
    assert mlflow.active_run() is None


def test_a_run_is_named_after_what_it_works_on_and_described_by_what_came_out(
    client: MlflowClient, experiment_id: str
) -> None:
    with open_run(VALUES, None, experiment_id) as run:
        run.rename("uci")
        run.rename("again")
        run.describe("303 patients")
    assert client.get_run(run.run_id).info.run_name == "preprocess uci"
    assert note(client, run.run_id) == "303 patients"


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


@pytest.mark.parametrize(("error", "ended", "message"), [
    (StepError("what went wrong"), "FAILED", "what went wrong"),
    (StepError("too long " * 5000), "FAILED", "too long"),
    (RuntimeError("4711"), "FAILED",
     "RuntimeError, whose message may hold a patient's value and is not shown"),
    (SystemExit("what went wrong"), "KILLED", "what went wrong"),
    (KeyboardInterrupt("what went wrong"), "KILLED", "what went wrong"),
])  # fmt: skip
def test_a_step_that_fails_leaves_a_run_that_says_so(
    client: MlflowClient, experiment_id: str, error: BaseException, ended: str, message: str
) -> None:
    with (
        pytest.raises(type(error)),
        open_run(VALUES, None, experiment_id) as run,
    ):
        raise error
    assert status(client, run.run_id) == ended
    assert note(client, run.run_id).startswith(message)
    assert finished.outputs(client.get_run(run.run_id)) == {}
    assert mlflow.active_run() is None


@pytest.mark.parametrize("reason", ["", "what went wrong"])
def test_the_work_of_a_bare_launch_is_in_the_named_experiment_and_the_launch_ends_and_points_to_it(
    client: MlflowClient, experiment_id: str, launch_run: str, reason: str
) -> None:
    launch = connect()
    with contextlib.suppress(StepError), open_run(VALUES, launch, experiment_id) as run:
        if reason:
            raise StepError(reason)
    assert run.run_id != launch_run
    assert client.get_run(run.run_id).info.experiment_id == experiment_id
    ended = client.get_run(launch_run)
    assert ended.info.status == status(client, run.run_id) == ("FAILED" if reason else "FINISHED")
    assert ended.info.run_name == "launch of preprocess"
    assert ended.data.tags["heart.run_id"] == run.run_id
    assert note(client, launch_run).startswith(f"{reason}\n" if reason else "The work of")
    assert f"#/experiments/{experiment_id}/runs/{run.run_id}" in note(client, launch_run)


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
    client: MlflowClient,
    experiment_id: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise MlflowException("database is locked")

    monkeypatch.setattr(MlflowClient, "set_terminated", gone)
    with pytest.raises(ZeroDivisionError), open_run(VALUES, None, experiment_id):
        raise ZeroDivisionError
    assert "could not be closed: database is locked" in capsys.readouterr().err
