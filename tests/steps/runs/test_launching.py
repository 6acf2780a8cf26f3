"""A step is launched as a child, unless a finished run has done its work."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import ExecutionException

from steps.parameters.declaration import check
from steps.parameters.entry_points import Download, Preprocess, Promote, Train
from steps.runs import children, launching
from steps.runs.files import ROOT
from steps.runs.reuse import work_key
from steps.runs.store import StepError
from steps.runs.tracking.finished import DATA_FOLDER
from steps.runs.tracking.opening import open_run
from steps.runs.tracking.step_run import StepRun
from steps.runs.tracking.tags import KEY_TAG, STEP_TAG
from tests.steps.conftest import status

Launched = list[dict[str, Any]]
MakeRun = Callable[..., Run]


@pytest.fixture
def parent(client: MlflowClient, experiment_id: str) -> StepRun:
    return StepRun(client.create_run(experiment_id).info.run_id, experiment_id)


@pytest.fixture
def launched(client: MlflowClient, experiment_id: str, monkeypatch: pytest.MonkeyPatch) -> Launched:
    """Put a stand-in in the place of ``mlflow.run``, and return what it is called with."""
    calls: Launched = []

    def run(**how: object) -> SimpleNamespace:
        calls.append(how)
        return SimpleNamespace(run_id=client.create_run(experiment_id).info.run_id)

    monkeypatch.setattr(mlflow, "run", run)
    return calls


def test_a_step_is_launched_with_its_parameters_in_this_project_experiment_and_environment(
    parent: StepRun, launched: Launched
) -> None:
    children.launch(Promote("3", "champion", False, "heart"), parent)
    (how,) = launched
    assert how["parameters"] == {
        "version": "3", "to": "champion", "rollback": "false", "name": "heart",
    }  # fmt: skip
    assert (how["uri"], how["entry_point"]) == (str(ROOT), "promote")
    assert (how["experiment_id"], how["run_name"]) == (parent.experiment_id, "promote")
    assert how["env_manager"] == "local"


def test_an_interpreter_that_is_not_called_python_says_what_to_do(
    parent: StepRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3.11"))
    (tmp_path / "python3.11").touch(0o755)
    (tmp_path / "python").touch(0o755)
    with pytest.raises(StepError, match=r"must be .*python3\.11, but is .*python; run this in a v"):
        children.launch(check(Download, {"source": "sample"}), parent)


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def run(**_: object) -> None:
        raise error

    monkeypatch.setattr(mlflow, "run", run)


@pytest.mark.parametrize(("note", "said", "reason"), [
    ("what went wrong", "Run (ID '{}') failed", "failed: what went wrong (run {})"),
    ("", "Run (ID '{}') failed", "failed: see its output above (run {})"),
    ("", "No such environment", "could not be started: No such environment"),
])  # fmt: skip
def test_a_step_that_fails_is_told_with_the_reason_in_its_note(
    parent: StepRun, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch,
    *, note: str, said: str, reason: str,
) -> None:  # fmt: skip
    child = make_run(status="FAILED", **{"mlflow.note.content": note}).info.run_id
    failing(monkeypatch, ExecutionException(said.format(child)))
    with pytest.raises(StepError) as caught:
        children.launch(check(Preprocess, {}), parent)
    assert str(caught.value) == f"preprocess {reason.format(child)}"


@pytest.mark.parametrize("left", ["RUNNING", "FAILED"])
def test_a_step_that_was_stopped_is_killed_whatever_mlflow_calls_it(
    client: MlflowClient, parent: StepRun, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch,
    left: str,
) -> None:  # fmt: skip
    tags = {"mlflow.parentRunId": parent.run_id}
    done = make_run(parent.experiment_id, "FINISHED", **tags).info.run_id
    stopped = make_run(parent.experiment_id, left, **tags).info.run_id
    failing(monkeypatch, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        children.launch(check(Preprocess, {}), parent)
    assert status(client, stopped) == "KILLED"
    assert status(client, done) == "FINISHED"


def test_the_input_of_a_step_is_the_latest_run_of_the_step_before(
    parent: StepRun, launched: Launched, make_run: MakeRun
) -> None:
    done = make_run(parent.experiment_id, "FINISHED", **{STEP_TAG: "download"})
    assert launching.input_run(Preprocess, parent).info.run_id == done.info.run_id
    assert launched == []


def test_an_input_that_is_missing_is_built_first(
    parent: StepRun, launched: Launched, capsys: pytest.CaptureFixture[str]
) -> None:
    launching.input_run(Train, parent)
    assert [how["entry_point"] for how in launched] == ["preprocess"]
    assert "train: there is no finished preprocess run yet" in capsys.readouterr().err


@pytest.mark.parametrize(("cache", "launches"), [(True, 0), (False, 1)])
def test_finished_work_is_reused_and_said_to_be_unless_the_user_wants_it_anew(
    parent: StepRun, launched: Launched, finished_download: Run, capsys: pytest.CaptureFixture[str],
    *, cache: bool, launches: int,
) -> None:  # fmt: skip
    found = launching.run_or_reuse(check(Download, {"source": "sample"}), parent, cache)
    assert len(launched) == launches
    if cache:
        assert found.info.run_id == finished_download.info.run_id
        assert f"download: reused run {found.info.run_id}" in capsys.readouterr().err
        tags = MlflowClient().get_run(parent.run_id).data.tags
        assert tags["heart.reused.download"] == found.info.run_id


@pytest.fixture
def finished_download(client: MlflowClient, experiment_id: str, tmp_path: Path) -> Run:
    """Return a run that looks as if it had downloaded the sample."""
    (tmp_path / "synthetic.data").write_text("patients")
    with open_run(check(Download, {"source": "sample"}), None, experiment_id) as run:
        run.log_file(tmp_path / "synthetic.data", DATA_FOLDER)
        run.tag(KEY_TAG, work_key(check(Download, {"source": "sample"})))
    return client.get_run(run.run_id)
