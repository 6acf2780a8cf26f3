"""A step is launched as a child, unless a finished run has done its work."""

import sys
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import ExecutionException

from steps.parameters.declaration import check
from steps.parameters.entry_points import Download, Preprocess
from steps.runs import children, launching
from steps.runs.reuse import work_key
from steps.runs.store import StepError
from steps.runs.tracking.finished import DATA_FOLDER
from steps.runs.tracking.opening import open_run
from steps.runs.tracking.step_run import StepRun
from steps.runs.tracking.tags import KEY_TAG
from tests.steps.stores import FakeLaunch


@pytest.fixture
def parent(client: MlflowClient, experiment_id: str) -> StepRun:
    return StepRun(client.create_run(experiment_id).info.run_id, experiment_id)


def test_an_interpreter_that_is_not_called_python_says_what_to_do(
    parent: StepRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3.11"))
    (tmp_path / "python3.11").touch(0o755)
    (tmp_path / "python").touch(0o755)
    with pytest.raises(StepError, match=r"must be .*python3\.11, but is .*python; run this in a v"):
        children.launch(check(Download, {"source": "sample"}), parent)


@pytest.mark.parametrize(("note", "said", "reason"), [
    ("what went wrong", "Run (ID '{}') failed", "failed: what went wrong (run {})"),
    ("", "Run (ID '{}') failed", "failed: see its output above (run {})"),
    ("", "No such environment", "could not be started: No such environment"),
])  # fmt: skip
def test_a_step_that_fails_is_told_with_the_reason_in_its_note(
    parent: StepRun, make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch,
    *, note: str, said: str, reason: str,
) -> None:  # fmt: skip
    child = make_run(status="FAILED", **{"mlflow.note.content": note}).info.run_id

    def fail(**_: object) -> None:
        raise ExecutionException(said.format(child))

    monkeypatch.setattr(mlflow, "run", fail)
    with pytest.raises(StepError) as caught:
        children.launch(check(Preprocess, {}), parent)
    assert str(caught.value) == f"preprocess {reason.format(child)}"


def test_finished_work_is_reused_and_said_to_be_unless_the_user_wants_it_anew(
    client: MlflowClient, parent: StepRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    fake = FakeLaunch()
    monkeypatch.setattr(mlflow, "run", fake)
    (tmp_path / "synthetic.data").write_text("patients")
    values = check(Download, {"source": "sample"})
    with open_run(values, None, parent.experiment_id) as run:
        run.log_file(tmp_path / "synthetic.data", DATA_FOLDER)
        run.tag(KEY_TAG, work_key(values))
    assert launching.run_or_reuse(values, parent).info.run_id == run.run_id
    assert fake.asked == []
    assert f"download: reused run {run.run_id}" in capsys.readouterr().err
    assert client.get_run(parent.run_id).data.tags["heart.reused.download"] == run.run_id
    launching.run_or_reuse(values, parent, cache=False)
    assert len(fake.asked) == 1
