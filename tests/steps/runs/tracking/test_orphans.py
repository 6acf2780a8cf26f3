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

from steps.parameters.declaration import check
from steps.parameters.entry_points import Preprocess
from steps.runs.tracking import orphans
from steps.runs.tracking.step_run import open_run
from steps.runs.tracking.tags import OWNER_TAG, STEP_TAG
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
    with open_run(check(Preprocess, {}), None, experiment_id) as run:
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


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """Return the processes that run on this machine, as psutil is made to tell it."""
    running: list[SimpleNamespace] = []
    monkeypatch.setattr(psutil, "process_iter", lambda _: running)
    return running


@pytest.mark.parametrize(("words", "age", "launches"), [
    (["python", "/bin/mlflow", "run", "."], 10, True),
    (["python", "-m", "mlflow", "run", "."], 10, True),
    (["python", "/bin/mlflow", "run", "."], -10, False),
    (["python", "/bin/mlflow", "server"], 10, False),
    (["docker", "run", "image"], 10, False),
    (None, 10, False),
])  # fmt: skip
def test_a_launch_that_its_step_has_not_tagged_is_open_while_an_mlflow_run_as_old_as_it_lives(
    client: MlflowClient, experiment_id: str, make_run: MakeRun,
    processes: list[SimpleNamespace], *, words: list[str] | None, age: float, launches: bool,
) -> None:  # fmt: skip
    launch = make_run("0", **{ENTRY: "train"})
    started = launch.info.start_time / 1000 - age
    processes.append(SimpleNamespace(info={"cmdline": words, "create_time": started}))
    closed = orphans.close_orphans(experiment_id)
    assert closed == ([] if launches else [launch.info.run_id])


@pytest.mark.parametrize("tags", [{}, {ENTRY: "somebody_elses"}, {STEP_TAG: "train"}])
def test_a_run_in_default_that_is_not_ours_is_left_alone(
    client: MlflowClient,
    experiment_id: str,
    make_run: MakeRun,
    processes: list[SimpleNamespace],
    tags: dict[str, str],
) -> None:
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
