"""A step is launched as a child, unless a finished run has done its work."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import ExecutionException
from steps.runs.parameters import Value

from steps.runs import launching
from steps.runs.files import ROOT
from steps.runs.store import StepError
from steps.runs.tracking import STEP_TAG, StepRun

VALUES: dict[str, Value] = {
    "source": "sample", "model": "random_forest", "n_estimators": 100, "max_depth": 5,
    "min_samples_leaf": 1, "test_size": 0.2, "random_state": 42, "promote": "true", "cache": True,
}  # fmt: skip


@pytest.fixture
def parent(client: MlflowClient, experiment_id: str) -> StepRun:
    return StepRun(client.create_run(experiment_id).info.run_id, experiment_id)


@pytest.fixture
def launched(
    client: MlflowClient, experiment_id: str, monkeypatch: pytest.MonkeyPatch
) -> list[dict[str, object]]:
    """Put a stand-in in the place of ``mlflow.run``, and return what it is called with."""
    calls: list[dict[str, object]] = []

    def run(**how: object) -> SimpleNamespace:
        calls.append(how)
        return SimpleNamespace(run_id=client.create_run(experiment_id).info.run_id)

    monkeypatch.setattr(launching.mlflow, "run", run)
    return calls


@pytest.fixture
def reusable(monkeypatch: pytest.MonkeyPatch, make_run: Callable[..., Run]) -> Run:
    """Return a run that has done any work that is asked for."""
    done = make_run(status="FINISHED")
    monkeypatch.setattr(launching.reuse, "find", lambda *_: done)
    return done


def test_a_step_gets_the_parameters_that_it_takes_as_text(
    parent: StepRun, launched: list[dict[str, object]]
) -> None:
    launching.ensure("download", VALUES, parent)
    launching.ensure("register", VALUES | {"run_id": "0" * 32}, parent)
    assert launched[0]["parameters"] == {"source": "sample"}
    assert launched[1]["parameters"] == {"run_id": "0" * 32, "promote": "true"}


def test_flags_are_written_as_mlflow_projects_write_them(
    parent: StepRun, launched: list[dict[str, object]]
) -> None:
    launching.launch("promote", {"rollback": True}, parent)
    assert launched[0]["parameters"] == {"rollback": "true"}


def test_a_step_runs_in_this_project_experiment_and_environment(
    parent: StepRun, launched: list[dict[str, object]]
) -> None:
    launching.launch("download", {"source": "sample"}, parent)
    (how,) = launched
    assert (how["uri"], how["entry_point"]) == (str(ROOT), "download")
    assert (how["experiment_id"], how["run_name"]) == (parent.experiment_id, "download")
    assert how["env_manager"] == "local"


def test_finished_work_is_reused_and_said_to_be(
    parent: StepRun,
    launched: list[dict[str, object]],
    reusable: Run,
    client: MlflowClient,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = launching.ensure("download", VALUES, parent)
    assert found.info.run_id == reusable.info.run_id
    assert launched == []
    assert f"download: reused run {reusable.info.run_id}" in capsys.readouterr().err
    tags = client.get_run(parent.run_id).data.tags
    assert tags["heart.reused.download"] == reusable.info.run_id


def test_nothing_is_reused_without_the_cache(
    parent: StepRun, launched: list[dict[str, object]], reusable: Run
) -> None:
    launching.ensure("download", VALUES, parent, cache=False)
    assert len(launched) == 1


def test_registering_is_never_reused(
    parent: StepRun, launched: list[dict[str, object]], reusable: Run
) -> None:
    launching.ensure("register", VALUES | {"run_id": "0" * 32}, parent)
    assert len(launched) == 1


def failing(monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    def run(**_: object) -> None:
        raise ExecutionException(message)

    monkeypatch.setattr(launching.mlflow, "run", run)


def test_a_step_that_fails_is_told_with_the_reason_in_its_note(
    parent: StepRun, make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    child = make_run(status="FAILED", **{"mlflow.note.content": "what went wrong"}).info.run_id
    failing(monkeypatch, f"Run (ID '{child}') failed")
    with pytest.raises(StepError) as caught:
        launching.launch("train", {}, parent)
    assert str(caught.value) == f"train failed: what went wrong (run {child})"


def test_a_step_that_fails_without_a_note_points_to_its_output(
    parent: StepRun, make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    child = make_run(status="FAILED").info.run_id
    failing(monkeypatch, f"Run (ID '{child}') failed")
    with pytest.raises(StepError, match="train failed: see its output above"):
        launching.launch("train", {}, parent)


def test_a_step_that_cannot_be_started_is_told(
    parent: StepRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, "No such environment")
    with pytest.raises(StepError, match="train could not be started: No such environment"):
        launching.launch("train", {}, parent)


def test_the_input_of_a_step_is_the_latest_run_of_the_step_before(
    parent: StepRun, launched: list[dict[str, object]], make_run: Callable[..., Run]
) -> None:
    done = make_run(parent.experiment_id, "FINISHED", **{STEP_TAG: "download"})
    found = launching.input_run("preprocess", parent.experiment_id, parent)
    assert found.info.run_id == done.info.run_id
    assert launched == []


def test_an_input_that_is_missing_is_built_first(
    parent: StepRun, launched: list[dict[str, object]], capsys: pytest.CaptureFixture[str]
) -> None:
    launching.input_run("train", parent.experiment_id, parent)
    assert [how["entry_point"] for how in launched] == ["preprocess"]
    assert "no finished preprocess run yet" in capsys.readouterr().err
