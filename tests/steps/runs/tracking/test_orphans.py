"""Closing the runs of the dead, and no others."""

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

from steps.parameters.declaration import check
from steps.parameters.entry_points import Preprocess
from steps.runs.tracking import orphans
from steps.runs.tracking.opening import open_run
from steps.runs.tracking.tags import OWNER_TAG, STEP_TAG
from tests.steps.conftest import note, owner_tag, status
from tests.steps.stores import locked

MakeRun = Callable[..., Run]
PARENT, ENTRY = "mlflow.parentRunId", "mlflow.project.entryPoint"
OWNERS: dict[str, Callable[[str], str]] = {
    "dead": lambda dead: dead,
    "alive": lambda _: owner_tag(os.getpid()),
    "alive, with the number of a dead one": lambda _: owner_tag(
        os.getpid(), started=psutil.Process().create_time() - 3600
    ),
    "on another machine": lambda dead: json.dumps(
        json.loads(dead) | {"host": "not-" + socket.gethostname()}
    ),
}


@pytest.mark.parametrize(
    ("owner", "closed"), [*zip(OWNERS, (True, False, True, False), strict=True)]
)
def test_the_run_of_a_dead_process_is_closed_as_killed(
    client: MlflowClient, experiment_id: str, make_run: MakeRun, dead_owner: str,
    *, owner: str, closed: bool,
) -> None:  # fmt: skip
    run_id = make_run(experiment_id, **{OWNER_TAG: OWNERS[owner](dead_owner)}).info.run_id
    assert orphans.close_orphans(experiment_id) == ([run_id] if closed else [])
    assert status(client, run_id) == ("KILLED" if closed else "RUNNING")
    assert ("killed" in note(client, run_id)) == closed
    assert orphans.close_orphans(experiment_id) == []


def test_the_owner_tag_is_that_of_this_process(client: MlflowClient, experiment_id: str) -> None:
    with open_run(check(Preprocess, {}), None, experiment_id) as run:
        assert client.get_run(run.run_id).data.tags[OWNER_TAG] == owner_tag(os.getpid())
        assert orphans.close_orphans(experiment_id) == []


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


@pytest.mark.parametrize(("parent", "child", "closed"), [
    ({"owner": "alive"}, {ENTRY: "download"}, ""),
    ({"owner": "dead"}, {ENTRY: "download"}, "parent child"),
    ({"owner": "alive", "status": "KILLED"}, {ENTRY: "train"}, "child"),
    ({"status": "KILLED"}, {"owner": "alive"}, ""),
    ({"status": "FINISHED"}, {}, ""),  # not ours
])  # fmt: skip
def test_a_child_that_has_not_named_its_owner_follows_its_parent(
    experiment_id: str, make_run: MakeRun, dead_owner: str,
    *, parent: dict[str, str], child: dict[str, str], closed: str,
) -> None:  # fmt: skip
    runs: dict[str, str] = {}
    for name, given in (("parent", parent), ("child", child)):
        about = dict(given)
        state = about.pop("status", "RUNNING")
        if "owner" in about:
            about[OWNER_TAG] = OWNERS[about.pop("owner")](dead_owner)
        if runs:
            about[PARENT] = runs["parent"]
        runs[name] = make_run(experiment_id, state, **about).info.run_id
    expected = {runs[name] for name in closed.split()}
    assert set(orphans.close_orphans(experiment_id)) == expected


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


@pytest.mark.parametrize("tags", [{}, {ENTRY: "somebody_elses"}, {STEP_TAG: "train"}, None])
def test_a_run_elsewhere_that_is_not_ours_is_left_alone(
    client: MlflowClient, experiment_id: str, make_run: MakeRun, dead_owner: str,
    *, processes: list[SimpleNamespace], tags: dict[str, str] | None,
) -> None:  # fmt: skip
    if tags is None:
        run = make_run(client.create_experiment("other"), **{OWNER_TAG: dead_owner})
    else:
        run = make_run("0", **tags)
    assert orphans.close_orphans(experiment_id) == []
    assert status(client, run.info.run_id) == "RUNNING"


def test_a_store_that_fails_for_a_moment_kills_nobodys_child(
    client: MlflowClient, experiment_id: str, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = make_run(experiment_id, **{OWNER_TAG: owner_tag(os.getpid())}).info.run_id
    child = make_run(experiment_id, **{PARENT: parent, ENTRY: "train"}).info.run_id
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "get_run", locked)
        with pytest.raises(MlflowException, match="locked"):
            orphans.close_orphans(experiment_id)
    assert status(client, child) == "RUNNING"
