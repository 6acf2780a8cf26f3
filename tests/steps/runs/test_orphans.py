"""Closing the runs of the dead, and no others."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace

import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR
from steps.runs.orphans import OWNER_TAG

from steps.runs import orphans, tracking
from steps.runs.tracking import STEP_TAG
from tests.steps.conftest import note, owner_tag, status

MakeRun = Callable[..., Run]
PARENT, ENTRY = "mlflow.parentRunId", "mlflow.project.entryPoint"


def test_the_run_of_a_dead_process_is_closed_as_killed(
    client: MlflowClient, experiment_id: str, make_run: MakeRun, dead_owner: str
) -> None:
    run_id = make_run(experiment_id, **{OWNER_TAG: dead_owner}).info.run_id
    assert orphans.close_orphans(experiment_id) == [run_id]
    assert status(client, run_id) == "KILLED"
    assert "killed" in note(client, run_id)
    assert orphans.close_orphans(experiment_id) == []


def test_the_run_of_a_living_process_is_left_alone(
    client: MlflowClient, experiment_id: str, make_run: MakeRun
) -> None:
    run_id = make_run(experiment_id, **{OWNER_TAG: owner_tag(os.getpid())}).info.run_id
    assert orphans.close_orphans(experiment_id) == []
    assert status(client, run_id) == "RUNNING"


def test_the_owner_tag_is_that_of_this_process(client: MlflowClient, experiment_id: str) -> None:
    with tracking.step_run("train", {}, None, experiment_id) as run:
        written = json.loads(client.get_run(run.run_id).data.tags[OWNER_TAG])
        assert written == json.loads(owner_tag(os.getpid()))
        assert orphans.close_orphans(experiment_id) == []


def test_a_process_that_got_the_number_of_a_dead_one_is_not_taken_for_it(
    client: MlflowClient, experiment_id: str, make_run: MakeRun
) -> None:
    started = psutil.Process().create_time() - 3600
    run_id = make_run(
        experiment_id, **{OWNER_TAG: owner_tag(os.getpid(), started=started)}
    ).info.run_id
    assert orphans.close_orphans(experiment_id) == [run_id]


def test_a_dead_process_that_nobody_has_waited_for_is_dead(
    client: MlflowClient, experiment_id: str, make_run: MakeRun
) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    tag = owner_tag(process.pid)
    process.kill()
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    run_id = make_run(experiment_id, **{OWNER_TAG: tag}).info.run_id
    assert orphans.close_orphans(experiment_id) == [run_id]
    process.communicate()


def test_the_run_of_another_machine_is_left_alone(
    client: MlflowClient, experiment_id: str, make_run: MakeRun, dead_owner: str
) -> None:
    elsewhere = json.dumps(json.loads(dead_owner) | {"host": "not-" + socket.gethostname()})
    run_id = make_run(experiment_id, **{OWNER_TAG: elsewhere}).info.run_id
    assert orphans.close_orphans(experiment_id) == []
    assert status(client, run_id) == "RUNNING"


@pytest.mark.parametrize("alive", [True, False])
def test_a_child_that_has_not_named_its_owner_follows_its_parent(
    client: MlflowClient, experiment_id: str, make_run: MakeRun, dead_owner: str, alive: bool
) -> None:
    owner = owner_tag(os.getpid()) if alive else dead_owner
    parent = make_run(experiment_id, **{OWNER_TAG: owner}).info.run_id
    child = make_run(experiment_id, **{PARENT: parent, ENTRY: "download"}).info.run_id
    closed = orphans.close_orphans(experiment_id)
    assert sorted(closed) == ([] if alive else sorted([parent, child]))


def test_a_child_of_a_parent_that_has_ended_is_closed(
    client: MlflowClient, experiment_id: str, make_run: MakeRun
) -> None:
    parent = make_run(experiment_id, "KILLED", **{OWNER_TAG: owner_tag(os.getpid())}).info.run_id
    child = make_run(experiment_id, **{PARENT: parent, ENTRY: "train"}).info.run_id
    assert orphans.close_orphans(experiment_id) == [child]


def test_a_child_with_a_living_owner_outlives_its_parent(
    client: MlflowClient, experiment_id: str, make_run: MakeRun
) -> None:
    parent = make_run(experiment_id, "KILLED").info.run_id
    make_run(experiment_id, **{PARENT: parent, OWNER_TAG: owner_tag(os.getpid())})
    assert orphans.close_orphans(experiment_id) == []


def test_a_launch_that_its_step_has_not_tagged_is_closed_once_no_mlflow_run_lives(
    client: MlflowClient, experiment_id: str, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = make_run("0", **{ENTRY: "train"}).info.run_id
    monkeypatch.setattr(orphans, "_launchers_since", lambda _: True)
    assert orphans.close_orphans(experiment_id) == []
    monkeypatch.setattr(orphans, "_launchers_since", lambda _: False)
    assert orphans.close_orphans(experiment_id) == [launch]


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
    monkeypatch.setattr(orphans.psutil, "process_iter", lambda _: [process])
    assert orphans._launchers_since(100) == launches


@pytest.mark.parametrize("tags", [{}, {ENTRY: "somebody_elses"}, {STEP_TAG: "train"}])
def test_a_run_in_default_that_is_not_ours_is_left_alone(
    client: MlflowClient,
    experiment_id: str,
    make_run: MakeRun,
    monkeypatch: pytest.MonkeyPatch,
    tags: dict[str, str],
) -> None:
    monkeypatch.setattr(orphans, "_launchers_since", lambda _: False)
    run_id = make_run("0", **tags).info.run_id
    assert orphans.close_orphans(experiment_id) == []
    assert status(client, run_id) == "RUNNING"


def test_a_nested_run_that_is_not_ours_is_left_alone_though_its_parent_has_ended(
    client: MlflowClient, experiment_id: str, make_run: MakeRun
) -> None:
    parent = make_run("0", "FINISHED").info.run_id
    child = make_run("0", **{PARENT: parent}).info.run_id
    assert orphans.close_orphans(experiment_id) == []
    assert status(client, child) == "RUNNING"


def test_a_run_in_another_experiment_is_left_alone(
    client: MlflowClient, experiment_id: str, make_run: MakeRun, dead_owner: str
) -> None:
    elsewhere = make_run(client.create_experiment("other"), **{OWNER_TAG: dead_owner}).info.run_id
    assert orphans.close_orphans(experiment_id) == []
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
            orphans.close_orphans(experiment_id)
    assert status(client, child) == "RUNNING"
