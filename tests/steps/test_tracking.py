"""Reaching the tracking store, choosing the experiment, and closing the runs of the dead."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import mlflow
import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, TEMPORARILY_UNAVAILABLE

from steps import tracking
from steps.tracking import OWNER_TAG, STEP_TAG, Launch, StepError
from tests.servers import closed_port, silent_port
from tests.steps.conftest import note, owner_tag, status, use_store

MakeRun = Callable[..., Run]
PARENT, ENTRY = "mlflow.parentRunId", "mlflow.project.entryPoint"


def refusal(uri: str, launch: Launch | None = None) -> str:
    """Return what `connect` says about a store that it refuses."""
    before = mlflow.get_tracking_uri()
    use_store(uri)
    try:
        with pytest.raises(StepError) as caught:
            tracking.connect(launch)
    finally:
        use_store(before)
    return str(caught.value)


# --- reaching the store ----------------------------------------------------------------------


def test_a_store_that_answers_is_fine(store: str) -> None:
    tracking.connect(None)


@pytest.mark.parametrize(
    "scheme", ["http", "https", "postgresql", "postgresql+psycopg2", "mysql+pymysql"]
)
def test_a_store_that_nobody_serves_is_refused_at_once_in_one_line(scheme: str) -> None:
    uri = f"{scheme}://127.0.0.1:{closed_port()}/mlflow"
    start = time.monotonic()
    said = refusal(uri)
    assert time.monotonic() - start < 3
    assert len(said.splitlines()) == 1
    assert said.startswith(f"the tracking store {uri} does not answer")
    assert "MLFLOW_TRACKING_URI" in said


def test_a_store_whose_host_swallows_everything_is_refused_within_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def swallow(_address: object, timeout: float) -> None:
        assert timeout <= 10
        raise TimeoutError("timed out")

    monkeypatch.setattr(tracking.socket, "create_connection", swallow)
    assert "does not answer (timed out)" in refusal("http://192.0.2.1:5000")


def test_a_server_that_takes_the_connection_and_says_nothing_is_refused_within_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with silent_port() as port:
        start = time.monotonic()
        said = refusal(f"http://127.0.0.1:{port}")
    assert time.monotonic() - start < 10
    assert said.startswith(f"the tracking store http://127.0.0.1:{port} refused")
    assert len(said.splitlines()) == 1


def test_the_patience_with_a_server_is_seconds_unless_the_user_set_it(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    tracking.connect(None)
    assert int(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"]) <= 30
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"


@pytest.mark.parametrize("user_and_password", [
    "clinic:hunter2@", ":hunter2@", "clinic:hunter2:more@", "clinic:p@hunter2@",
])  # fmt: skip
@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_no_message_shows_the_password(scheme: str, user_and_password: str) -> None:
    said = refusal(f"{scheme}://{user_and_password}127.0.0.1:{closed_port()}/mlflow")
    assert "hunter2" not in said
    assert "***@127.0.0.1" in said


def test_a_password_among_the_options_is_not_shown_either() -> None:
    uri = "postgresql://db.example.org/mlflow?user=clinic&password=hunter2&sslmode=require"
    assert tracking.shown(uri) == uri.replace("hunter2", "***")


@pytest.mark.parametrize(
    "uri", ["sqlite:////data/mlflow.db", "http://host:5000/path", "file:///mlruns", "databricks"]
)
def test_a_uri_without_a_password_is_shown_as_it_is(uri: str) -> None:
    assert tracking.shown(uri) == uri


@pytest.mark.parametrize("uri", ["http://127.0.0.1:abc", "http://127.0.0.1:99999", "http://[::1"])
def test_an_address_that_is_none_is_refused_in_one_line(uri: str) -> None:
    said = refusal(uri)
    assert uri in said
    assert len(said.splitlines()) == 1


def test_a_relative_database_that_is_not_here_is_refused_to_a_launch(tmp_path: Path) -> None:
    said = refusal("sqlite:///mlflow.db", Launch("0" * 32, "0"))
    assert f"no database mlflow.db in {tmp_path}" in said
    assert "absolute MLFLOW_TRACKING_URI" in said
    assert not (tmp_path / "mlflow.db").exists()


def test_a_relative_database_is_made_for_who_runs_a_step_by_hand(tmp_path: Path) -> None:
    tracking._refuse_lost_sqlite("sqlite:///mlflow.db", None)


def test_a_relative_database_that_is_here_serves_a_launch(store: str, tmp_path: Path) -> None:
    assert (tmp_path / "mlflow.db").exists()
    tracking._refuse_lost_sqlite("sqlite:///mlflow.db", Launch("0" * 32, "0"))


def test_a_launch_that_the_store_does_not_know_is_refused(store: str) -> None:
    said = refusal(store, Launch("0" * 32, "0"))
    assert "refused" in said
    assert "0" * 32 in said


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


@pytest.mark.parametrize(("error", "ended"), [
    (StepError("what went wrong"), "FAILED"),
    (RuntimeError("what went wrong"), "FAILED"),
    (SystemExit("what went wrong"), "KILLED"),
    (KeyboardInterrupt("what went wrong"), "KILLED"),
])  # fmt: skip
def test_a_step_that_fails_leaves_a_run_that_says_so(
    client: MlflowClient, experiment_id: str, error: BaseException, ended: str
) -> None:
    with (
        pytest.raises(type(error)),
        tracking.step_run("train", {}, None, experiment_id) as run,
    ):
        raise error
    assert status(client, run.run_id) == ended
    assert note(client, run.run_id) == "what went wrong"
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


# --- runs that the dead left ------------------------------------------------------------------


def test_the_run_of_a_dead_process_is_closed_as_killed(
    client: MlflowClient, experiment_id: str, make_run: MakeRun, dead_owner: str
) -> None:
    run_id = make_run(experiment_id, **{OWNER_TAG: dead_owner}).info.run_id
    assert tracking.close_orphans(experiment_id) == [run_id]
    assert status(client, run_id) == "KILLED"
    assert "killed" in note(client, run_id)
    assert tracking.close_orphans(experiment_id) == []


def test_the_run_of_a_living_process_is_left_alone(
    client: MlflowClient, experiment_id: str, make_run: MakeRun
) -> None:
    run_id = make_run(experiment_id, **{OWNER_TAG: owner_tag(os.getpid())}).info.run_id
    assert tracking.close_orphans(experiment_id) == []
    assert status(client, run_id) == "RUNNING"


def test_the_owner_tag_is_that_of_this_process(client: MlflowClient, experiment_id: str) -> None:
    with tracking.step_run("train", {}, None, experiment_id) as run:
        written = json.loads(client.get_run(run.run_id).data.tags[OWNER_TAG])
        assert written == json.loads(owner_tag(os.getpid()))
        assert tracking.close_orphans(experiment_id) == []


def test_a_process_that_got_the_number_of_a_dead_one_is_not_taken_for_it(
    client: MlflowClient, experiment_id: str, make_run: MakeRun
) -> None:
    started = psutil.Process().create_time() - 3600
    run_id = make_run(
        experiment_id, **{OWNER_TAG: owner_tag(os.getpid(), started=started)}
    ).info.run_id
    assert tracking.close_orphans(experiment_id) == [run_id]


def test_a_dead_process_that_nobody_has_waited_for_is_dead(
    client: MlflowClient, experiment_id: str, make_run: MakeRun
) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    tag = owner_tag(process.pid)
    process.kill()
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    run_id = make_run(experiment_id, **{OWNER_TAG: tag}).info.run_id
    assert tracking.close_orphans(experiment_id) == [run_id]
    process.communicate()


def test_the_run_of_another_machine_is_left_alone(
    client: MlflowClient, experiment_id: str, make_run: MakeRun, dead_owner: str
) -> None:
    elsewhere = json.dumps(json.loads(dead_owner) | {"host": "not-" + socket.gethostname()})
    run_id = make_run(experiment_id, **{OWNER_TAG: elsewhere}).info.run_id
    assert tracking.close_orphans(experiment_id) == []
    assert status(client, run_id) == "RUNNING"


@pytest.mark.parametrize("alive", [True, False])
def test_a_child_that_has_not_named_its_owner_follows_its_parent(
    client: MlflowClient, experiment_id: str, make_run: MakeRun, dead_owner: str, alive: bool
) -> None:
    owner = owner_tag(os.getpid()) if alive else dead_owner
    parent = make_run(experiment_id, **{OWNER_TAG: owner}).info.run_id
    child = make_run(experiment_id, **{PARENT: parent, ENTRY: "download"}).info.run_id
    closed = tracking.close_orphans(experiment_id)
    assert sorted(closed) == ([] if alive else sorted([parent, child]))


def test_a_child_of_a_parent_that_has_ended_is_closed(
    client: MlflowClient, experiment_id: str, make_run: MakeRun
) -> None:
    parent = make_run(experiment_id, "KILLED", **{OWNER_TAG: owner_tag(os.getpid())}).info.run_id
    child = make_run(experiment_id, **{PARENT: parent, ENTRY: "train"}).info.run_id
    assert tracking.close_orphans(experiment_id) == [child]


def test_a_child_with_a_living_owner_outlives_its_parent(
    client: MlflowClient, experiment_id: str, make_run: MakeRun
) -> None:
    parent = make_run(experiment_id, "KILLED").info.run_id
    make_run(experiment_id, **{PARENT: parent, OWNER_TAG: owner_tag(os.getpid())})
    assert tracking.close_orphans(experiment_id) == []


def test_a_launch_that_its_step_has_not_tagged_is_closed_once_no_mlflow_run_lives(
    client: MlflowClient, experiment_id: str, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = make_run("0", **{ENTRY: "train"}).info.run_id
    monkeypatch.setattr(tracking, "_launchers_since", lambda _: True)
    assert tracking.close_orphans(experiment_id) == []
    monkeypatch.setattr(tracking, "_launchers_since", lambda _: False)
    assert tracking.close_orphans(experiment_id) == [launch]


@pytest.mark.parametrize(("words", "started", "launches"), [
    (["python", "/bin/mlflow", "run", "."], 90, True),
    (["python", "-m", "mlflow", "run", "."], 100, True),
    (["python", "/bin/mlflow", "run", "."], 101, False),
    (["python", "/bin/mlflow", "server"], 90, False),
    (["docker", "run", "image"], 90, False),
    (None, 90, False),
])  # fmt: skip
def test_a_launcher_is_an_mlflow_run_that_is_as_old_as_the_launch(
    monkeypatch: pytest.MonkeyPatch, words: list[str] | None, started: float, launches: bool
) -> None:
    process = SimpleNamespace(info={"cmdline": words, "create_time": started})
    monkeypatch.setattr(tracking.psutil, "process_iter", lambda _: [process])
    assert tracking._launchers_since(100) == launches


@pytest.mark.parametrize("tags", [{}, {ENTRY: "somebody_elses"}, {STEP_TAG: "train"}])
def test_a_run_in_default_that_is_not_ours_is_left_alone(
    client: MlflowClient,
    experiment_id: str,
    make_run: MakeRun,
    monkeypatch: pytest.MonkeyPatch,
    tags: dict[str, str],
) -> None:
    monkeypatch.setattr(tracking, "_launchers_since", lambda _: False)
    run_id = make_run("0", **tags).info.run_id
    assert tracking.close_orphans(experiment_id) == []
    assert status(client, run_id) == "RUNNING"


def test_a_nested_run_that_is_not_ours_is_left_alone_though_its_parent_has_ended(
    client: MlflowClient, experiment_id: str, make_run: MakeRun
) -> None:
    parent = make_run("0", "FINISHED").info.run_id
    child = make_run("0", **{PARENT: parent}).info.run_id
    assert tracking.close_orphans(experiment_id) == []
    assert status(client, child) == "RUNNING"


def test_a_run_in_another_experiment_is_left_alone(
    client: MlflowClient, experiment_id: str, make_run: MakeRun, dead_owner: str
) -> None:
    elsewhere = make_run(client.create_experiment("other"), **{OWNER_TAG: dead_owner}).info.run_id
    assert tracking.close_orphans(experiment_id) == []
    assert status(client, elsewhere) == "RUNNING"


def test_a_store_that_fails_for_a_moment_kills_nobodys_child(
    client: MlflowClient, experiment_id: str, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = make_run(experiment_id, **{OWNER_TAG: owner_tag(os.getpid())}).info.run_id
    child = make_run(experiment_id, **{PARENT: parent, ENTRY: "train"}).info.run_id

    def locked(*_: object) -> None:
        raise MlflowException("database is locked", INTERNAL_ERROR)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "get_run", locked)
        with pytest.raises(MlflowException, match="locked"):
            tracking.close_orphans(experiment_id)
    assert status(client, child) == "RUNNING"


@pytest.mark.parametrize(("error", "said"), [
    (FileNotFoundError(2, "No such file", "a.csv"), "No such file: a.csv"),
    (MlflowException("first line\nSELECT everything"), "first line"),
    (StepError("first line\nsecond line"), "first line\nsecond line"),
    (ZeroDivisionError(), "ZeroDivisionError"),
])  # fmt: skip
def test_an_error_is_explained_in_words(error: BaseException, said: str) -> None:
    assert tracking.explain(error) == said
