"""The frame of every entry point: exit codes, messages, and runs that ended truthfully."""

import os
import signal
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from clinical.errors import DataError
from steps.parameters.entry_points import Train
from steps.runs import running
from steps.runs.store import StepError
from steps.runs.tracking.experiment import EXPERIMENT
from steps.runs.tracking.step_run import StepRun, Work
from tests.servers import closed_port
from tests.steps.conftest import note, status
from tests.steps.stores import runs_of, use_store

Capture = pytest.CaptureFixture[str]


def run_step(
    *words: str,
    run: Callable[[StepRun, Train, Any], None] = lambda *_: None,
    resolve: Callable[[Train, str], object] = lambda *_: None,
) -> int:
    """Run a step with the parameters of ``train``, and any work."""
    with patch.dict(sys.modules, {"the_work": SimpleNamespace(WORK=Work(run, resolve))}):
        return running.run_step(Train, "the_work", "What it does.", words)


def raises(error: BaseException) -> Callable[..., None]:
    def work(*_: object) -> None:
        raise error

    return work


def terminate(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()


def test_what_goes_on_beside_starts_before_the_store_is_asked_but_not_with_wrong_parameters(
    store: str,
) -> None:
    begun: list[Train] = []
    use_store(f"http://127.0.0.1:{closed_port()}")
    for depth, expected in (("0", []), ("7", [7])):
        assert running.run_step(Train, "", "", [f"--max_depth={depth}"], ahead=begun.append) == 2
        assert [values.max_depth for values in begun] == expected


def test_wrong_parameters_exit_2_with_a_line_each_and_no_run(
    client: MlflowClient, launch_run: str, capsys: Capture
) -> None:
    assert run_step("--max_depth=0", "--depth=3") == 2
    assert capsys.readouterr() == (
        "",
        "train: unknown parameter 'depth'. train takes: data, model, n_estimators, max_depth, "
        "min_samples_leaf, C, calibration, test_size, random_state, base.\n"
        "train: 'max_depth' must be an integer in [1, 100]. Got '0' instead.\n",
    )
    assert client.get_experiment_by_name(EXPERIMENT) is None
    assert status(client, launch_run) == "FAILED"
    assert "train: 'max_depth' must be an integer in [1, 100]" in note(client, launch_run)
    assert "train: unknown parameter 'depth'" in note(client, launch_run)


def test_a_wrong_parameter_is_told_though_the_store_is_out_of_reach(
    launch_run: str, capsys: Capture
) -> None:
    address = f"http://127.0.0.1:{closed_port()}"
    use_store(address)
    assert run_step("--max_depth=0") == 2
    printed = capsys.readouterr().err
    assert printed.startswith("train: 'max_depth' must be")
    assert f"the tracking store {address} does not answer" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize(("error", "message"), [
    *((kind("row 3: chol\nrow 5: age"), "row 3: chol\nrow 5: age")
      for kind in (DataError, StepError, OSError)),
    # What MLflow appends to the first line is for its makers.
    (MlflowException("row 3: chol\nrow 5: age"), "row 3: chol"),
    (FileNotFoundError(2, "No such file", "a.csv"), "No such file: a.csv"),
    (OSError(), "OSError"),
])  # fmt: skip
def test_an_expected_failure_exits_1_with_its_message_and_no_traceback(
    client: MlflowClient, launch_run: str, capsys: Capture, error: Exception, message: str
) -> None:
    assert run_step(run=raises(error)) == 1
    assert capsys.readouterr().err == f"train: {message}\n"
    (run,) = runs_of(client, "train")
    for run_id in (run.info.run_id, launch_run):
        assert status(client, run_id) == "FAILED"
        assert note(client, run_id).startswith(message)


@pytest.mark.parametrize("where", ["run", "resolve"])
def test_an_unexpected_failure_exits_1_with_a_traceback_and_none_of_its_words(
    client: MlflowClient, launch_run: str, capsys: Capture, where: str
) -> None:
    """They may be a patient's."""

    def work(*_: object) -> None:
        try:
            float("smith 4711")
        except ValueError as error:
            raise KeyError("smith 4711") from error

    assert run_step(**{where: work}) == 1  # type: ignore[arg-type]
    printed = capsys.readouterr().err
    assert "Traceback (most recent call last)" in printed
    assert "train: KeyError, whose message may hold" in printed
    assert [run.info.status for run in runs_of(client, "train")] == ["FAILED"] * (where == "run")
    assert status(client, launch_run) == "FAILED"
    assert "KeyError, whose message" in note(client, launch_run)
    runs = runs_of(client, "train")
    for text in (printed, note(client, launch_run), *(str(run.to_dictionary()) for run in runs)):
        # The line of code that raised it is shown, and only that has the name here.
        assert "smith" not in text.replace('raise KeyError("smith 4711") from error', "")


def terminate_and_tidy(*_: object) -> None:
    try:
        terminate()
    finally:
        # A second signal must not interrupt the closing.
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)


@pytest.mark.parametrize(("work", "left"), [
    ({"run": terminate}, ["KILLED"]),
    ({"run": terminate_and_tidy}, ["KILLED"]),
    ({"resolve": terminate}, []),  # before the run is open
])  # fmt: skip
def test_sigterm_closes_the_runs_as_killed(
    client: MlflowClient, launch_run: str, capsys: Capture, work: dict[str, Any], left: list[str]
) -> None:
    assert run_step(**work) == 130
    assert capsys.readouterr().err == "train: stopped\n"
    assert [run.info.status for run in runs_of(client, "train")] == left
    assert status(client, launch_run) == "KILLED"
    assert not left or note(client, launch_run).startswith("stopped by SIGTERM")


def test_a_run_that_ends_its_process_is_killed(client: MlflowClient) -> None:
    with pytest.raises(SystemExit):
        run_step(run=raises(SystemExit("what went wrong")))
    assert [run.info.status for run in runs_of(client, "train")] == ["KILLED"]


@pytest.mark.parametrize("unknown", ["0" * 32, ""])
def test_a_stale_run_of_a_launch_is_named_and_left_alone(
    client: MlflowClient, launch_run: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture,
    *, unknown: str,
) -> None:  # fmt: skip
    client.set_terminated(launch_run, "FINISHED")
    run_id, state = (unknown, "does not exist") if unknown else (launch_run, "has ended (FINISHED)")
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    assert run_step() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"train: MLFLOW_RUN_ID names run {run_id}, which {state} in sqlite")
    assert line.endswith("unset it, and start again")
    assert status(client, launch_run) == "FINISHED"
    assert note(client, launch_run) == ""
