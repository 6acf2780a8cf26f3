"""Choosing the experiment, the run of a step, and which runs it may read."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE

from steps.runs import tracking
from steps.runs.store import StepError
from steps.runs.tracking import STEP_TAG, Launch
from tests.steps.conftest import note, status

MakeRun = Callable[..., Run]


# --- the launch run and the experiment --------------------------------------------------------


def test_the_launch_is_taken_out_of_the_environment(launch_run: str) -> None:
    launch = tracking.take_launch()
    assert launch == Launch(launch_run, "0")
    assert not launch.adoptable
    assert "MLFLOW_RUN_ID" not in os.environ
    assert "MLFLOW_EXPERIMENT_ID" not in os.environ
    assert tracking.take_launch() is None


def test_an_experiment_chosen_without_a_launch_stays_chosen(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = client.create_experiment("chosen")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", chosen)
    assert tracking.take_launch() is None
    assert tracking.open_experiment(None) == chosen


def test_the_experiment_has_the_promised_name_and_its_artifacts_beside_those_of_default(
    client: MlflowClient, tmp_path: Path
) -> None:
    found = client.get_experiment(tracking.open_experiment(None))
    assert found.name == "Heart Disease Prediction"
    assert found.artifact_location == f"{tmp_path}/artifacts/heart-disease-prediction"


def test_the_experiment_is_made_once(client: MlflowClient) -> None:
    assert tracking.open_experiment(None) == tracking.open_experiment(None)


def test_an_experiment_made_by_another_process_in_between_is_used(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        tracking,
        "_artifact_location",
        lambda name: client.create_experiment(name) and None,
    )
    found = client.get_experiment_by_name
    assert tracking.open_experiment(None) == found(tracking.EXPERIMENT).experiment_id


def test_the_user_may_name_another_experiment(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "Mine, too")
    assert client.get_experiment(tracking.open_experiment(None)).name == "Mine, too"


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
    assert tracking.experiment_name() == path


def test_a_launch_with_a_chosen_experiment_works_there(client: MlflowClient) -> None:
    assert tracking.open_experiment(Launch("0" * 32, "7")) == "7"


def test_a_deleted_experiment_is_refused_with_the_way_out(
    client: MlflowClient, experiment_id: str
) -> None:
    client.delete_experiment(experiment_id)
    with pytest.raises(StepError) as caught:
        tracking.open_experiment(None)
    assert "'Heart Disease Prediction' is deleted" in str(caught.value)
    assert f"mlflow experiments restore --experiment-id {experiment_id}" in str(caught.value)


# --- the run of a step ------------------------------------------------------------------------


def test_a_step_that_ends_well_leaves_a_finished_run_with_its_outputs(
    client: MlflowClient, experiment_id: str, tmp_path: Path
) -> None:
    (tmp_path / "report.json").write_text("{}")
    with tracking.step_run("train", {"max_depth": 5}, None, experiment_id) as run:
        assert status(client, run.run_id) == "RUNNING"
        run.log_file(tmp_path / "report.json", "folder")
        run.tag("data.source", "uci")
    done = client.get_run(run.run_id)
    assert (done.info.status, done.info.run_name) == ("FINISHED", "train")
    assert done.data.params == {"max_depth": "5"}
    assert (done.data.tags[STEP_TAG], done.data.tags["data.source"]) == ("train", "uci")
    digest = tracking.sha256(tmp_path / "report.json")
    assert json.loads(done.data.tags["heart.outputs"]) == {"folder/report.json": digest}
    assert [f.path for f in client.list_artifacts(run.run_id, "folder")] == ["folder/report.json"]
    assert mlflow.active_run() is None


@pytest.mark.parametrize(("error", "ended", "said"), [
    (StepError("what went wrong"), "FAILED", "what went wrong"),
    (RuntimeError("4711"), "FAILED",
     "RuntimeError, whose message may hold a patient's value and is not shown"),
    (SystemExit("what went wrong"), "KILLED", "what went wrong"),
    (KeyboardInterrupt("what went wrong"), "KILLED", "what went wrong"),
])  # fmt: skip
def test_a_step_that_fails_leaves_a_run_that_says_so(
    client: MlflowClient, experiment_id: str, error: BaseException, ended: str, said: str
) -> None:
    with (
        pytest.raises(type(error)),
        tracking.step_run("train", {}, None, experiment_id) as run,
    ):
        raise error
    assert status(client, run.run_id) == ended
    assert note(client, run.run_id) == said
    assert "heart.outputs" not in client.get_run(run.run_id).data.tags
    assert mlflow.active_run() is None


def test_a_message_of_any_length_closes_the_run(client: MlflowClient, experiment_id: str) -> None:
    with (
        pytest.raises(StepError),
        tracking.step_run("train", {}, None, experiment_id) as run,
    ):
        raise StepError("too long " * 5000)
    assert status(client, run.run_id) == "FAILED"


def test_the_work_of_a_bare_launch_is_in_the_named_experiment_and_the_launch_points_to_it(
    client: MlflowClient, experiment_id: str, launch_run: str
) -> None:
    launch = tracking.take_launch()
    with tracking.step_run("train", {}, launch, experiment_id) as run:
        pass
    assert run.run_id != launch_run
    assert client.get_run(run.run_id).info.experiment_id == experiment_id
    ended = client.get_run(launch_run)
    assert (ended.info.status, ended.info.run_name) == ("FINISHED", "launch of train")
    assert ended.data.tags["heart.run_id"] == run.run_id
    assert f"#/experiments/{experiment_id}/runs/{run.run_id}" in note(client, launch_run)


def test_a_bare_launch_fails_with_its_work_and_for_the_same_reason(
    client: MlflowClient, experiment_id: str, launch_run: str
) -> None:
    launch = tracking.take_launch()
    with pytest.raises(StepError), tracking.step_run("train", {}, launch, experiment_id) as run:
        raise StepError("what went wrong")
    assert status(client, launch_run) == status(client, run.run_id) == "FAILED"
    assert note(client, launch_run).startswith("what went wrong\n")


def test_a_launch_in_a_chosen_experiment_is_the_run_of_the_step(
    client: MlflowClient, experiment_id: str
) -> None:
    made = client.create_run(experiment_id, run_name="wise-owl-123")
    # `mlflow run` has logged its parameters already, quoted for a shell.
    client.log_param(made.info.run_id, "data", "''")
    launch = Launch(made.info.run_id, experiment_id)
    with tracking.step_run("train", {"data": "", "max_depth": 5}, launch, experiment_id) as run:
        assert run.run_id == made.info.run_id
    done = client.get_run(run.run_id)
    assert (done.info.status, done.info.run_name) == ("FINISHED", "train")
    assert done.data.params == {"data": "''", "max_depth": "5"}


def test_a_name_that_the_user_gave_the_launch_stays(
    client: MlflowClient, experiment_id: str
) -> None:
    made = client.create_run(experiment_id, run_name="Tuesday")
    launch = Launch(made.info.run_id, experiment_id)
    with tracking.step_run("train", {}, launch, experiment_id):
        pass
    assert client.get_run(made.info.run_id).info.run_name == "Tuesday"


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
        tracking.step_run("train", {}, None, experiment_id) as run,
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

    monkeypatch.setattr(tracking, "_end", gone)
    with pytest.raises(ZeroDivisionError), tracking.step_run("train", {}, None, experiment_id):
        raise ZeroDivisionError
    assert "could not be closed: database is locked" in capsys.readouterr().err


# --- which runs a step may read ---------------------------------------------------------------


def test_only_finished_undeleted_runs_of_the_step_are_found_newest_first(
    client: MlflowClient, experiment_id: str, make_run: MakeRun
) -> None:
    tags = {STEP_TAG: "train"}
    old, new = (make_run(experiment_id, "FINISHED", **tags).info.run_id for _ in range(2))
    make_run(experiment_id, "FAILED", **tags)
    make_run(experiment_id, "RUNNING", **tags)
    make_run(experiment_id, "FINISHED", **{STEP_TAG: "download"})
    make_run("0", "FINISHED", **tags)
    deleted = make_run(experiment_id, "FINISHED", **tags).info.run_id
    client.delete_run(deleted)
    found = [run.info.run_id for run in tracking.finished_runs(experiment_id, "train")]
    assert sorted(found) == sorted([old, new])
    latest = tracking.latest_or_named("train", "", experiment_id)
    assert latest is not None
    assert latest.info.run_id == found[0]


def test_a_run_by_its_id_must_be_a_finished_run_of_that_step(
    client: MlflowClient, experiment_id: str, make_run: MakeRun
) -> None:
    good = make_run(experiment_id, "FINISHED", **{STEP_TAG: "train"}).info.run_id
    assert tracking.step_of(good, "train").info.run_id == good
    client.delete_run(good)
    failed = make_run(experiment_id, "FAILED", **{STEP_TAG: "train"}).info.run_id
    other = make_run(experiment_id, "FINISHED", **{STEP_TAG: "download"}).info.run_id
    foreign = make_run(experiment_id, "FINISHED").info.run_id
    for run_id, reason in {
        good: "is deleted; it must be FINISHED",
        failed: "is FAILED; it must be FINISHED",
        other: "is of step 'download', not of 'train'",
        foreign: "not of 'train'",
        "0" * 32: f"there is no run {'0' * 32} in sqlite",
    }.items():
        with pytest.raises(StepError, match=reason):
            tracking.step_of(run_id, "train")


def test_a_store_that_fails_is_not_a_run_that_does_not_exist(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object) -> None:
        raise MlflowException("database is locked", TEMPORARILY_UNAVAILABLE)

    monkeypatch.setattr(MlflowClient, "get_run", locked)
    with pytest.raises(MlflowException, match="locked"):
        tracking.step_of("0" * 32, "train")


def test_a_path_names_no_run(store: str, experiment_id: str, tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("")
    assert tracking.latest_or_named("train", str(tmp_path / "x.parquet"), experiment_id) is None
    assert tracking.latest_or_named("train", "", experiment_id) is None
