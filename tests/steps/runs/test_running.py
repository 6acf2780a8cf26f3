"""The frame of every entry point: exit codes, messages, and runs that ended truthfully."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from clinical.errors import DataError
from steps.parameters.entry_points import Train
from steps.runs import running
from steps.runs.running import Work
from steps.runs.store import StepError
from steps.runs.tracking.experiment import EXPERIMENT, open_experiment
from steps.runs.tracking.step_run import StepRun
from steps.runs.tracking.tags import OWNER_TAG
from tests.servers import closed_port
from tests.steps.conftest import note, status
from tests.steps.stores import use_store

Capture = pytest.CaptureFixture[str]


def run_step(
    *words: str,
    run: Callable[[StepRun, Train, Any], None] = lambda *_: None,
    resolve: Callable[[Train, str], object] = lambda *_: None,
) -> int:
    """Run a step with the parameters of ``train``, and any work."""
    return running.run_step(Train, lambda: Work(run, resolve), "What it does.", words)


def raises(error: BaseException) -> Callable[..., None]:
    def work(*_: object) -> None:
        raise error

    return work


def terminate(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()


def ours(client: MlflowClient) -> list[str]:
    """Return the status of every run in the named experiment."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs = client.search_runs([experiment.experiment_id]) if experiment else []
    return [run.info.status for run in runs]


def test_work_that_ends_well_exits_0_with_a_finished_run(client: MlflowClient) -> None:
    given: list[Any] = []
    words = ("--max_depth=7",)
    assert run_step(*words, run=lambda *all_: given.extend(all_), resolve=lambda _, i: i) == 0
    run, values, resolved = given
    assert values.max_depth == 7
    assert resolved == run.experiment_id == open_experiment(None)
    assert status(client, run.run_id) == "FINISHED"


def test_what_imports_have_made_is_not_looked_through_for_garbage(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected: list[object] = []

    def resolve(*_: object) -> None:
        collected.append(gc.isenabled())

    def work(*_: object) -> None:
        collected.extend([gc.isenabled(), gc.get_freeze_count() > 100_000])

    monkeypatch.setattr(sys, "argv", ["train"])
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    try:
        assert running.run_step(Train, lambda: Work(work, resolve), "") == 0
    finally:
        gc.unfreeze()
    assert collected == [False, True, True]


def test_what_goes_on_beside_starts_before_all_else_but_not_with_wrong_parameters(
    client: MlflowClient,
) -> None:
    begun: list[object] = []

    def ahead(values: Train) -> None:
        begun.append(values.max_depth)
        raise StepError("before the store was asked")

    load = raises(AssertionError("there is no work yet"))
    assert running.run_step(Train, load, "", ["--max_depth=0"], ahead=ahead) == 2  # type: ignore[arg-type]
    assert begun == []
    with pytest.raises(StepError):
        running.run_step(Train, load, "", ["--max_depth=7"], ahead=ahead)  # type: ignore[arg-type]
    assert begun == [7]
    assert client.get_experiment_by_name(EXPERIMENT) is None


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


def test_what_does_not_exist_exits_2_before_a_run_of_ours_opens(
    client: MlflowClient, launch_run: str, capsys: Capture
) -> None:
    assert run_step(resolve=raises(StepError("there is no such thing"))) == 2
    assert capsys.readouterr().err == "train: there is no such thing\n"
    assert ours(client) == []
    assert status(client, launch_run) == "FAILED"
    assert note(client, launch_run) == "train: there is no such thing"


@pytest.mark.parametrize(
    "error",
    [
        DataError("row 3: chol\nrow 5: age"),
        StepError("row 3: chol\nrow 5: age"),
        OSError("row 3: chol\nrow 5: age"),
        MlflowException("row 3: chol\nrow 5: age"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_expected_failure_exits_1_with_its_message_and_no_traceback(
    client: MlflowClient, launch_run: str, capsys: Capture, error: Exception
) -> None:
    assert run_step(run=raises(error)) == 1
    # What MLflow appends to the first line is for its makers.
    rest = "" if isinstance(error, MlflowException) else "row 5: age\n"
    assert capsys.readouterr().err == f"train: row 3: chol\n{rest}"
    assert ours(client) == ["FAILED"]
    assert status(client, launch_run) == "FAILED"
    assert note(client, launch_run).startswith("row 3: chol\n")


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
    assert ours(client) == (["FAILED"] if where == "run" else [])
    assert status(client, launch_run) == "FAILED"
    assert "KeyError, whose message" in note(client, launch_run)
    runs = client.search_runs([open_experiment(None)])
    for text in (printed, note(client, launch_run), *(str(run.to_dictionary()) for run in runs)):
        # The line of code that raised it is shown, and only that has the name here.
        assert "4711" not in text.replace('raise KeyError("smith 4711") from error', "")


def terminate_and_tidy(*_: object) -> None:
    try:
        terminate()
    finally:
        # A second signal must not interrupt the closing.
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)


@pytest.mark.parametrize("work", [terminate, terminate_and_tidy])
def test_sigterm_closes_the_run_as_killed(
    client: MlflowClient, launch_run: str, capsys: Capture, work: Callable[..., None]
) -> None:
    assert run_step(run=work) == 130
    assert capsys.readouterr().err == "train: stopped\n"
    assert ours(client) == ["KILLED"]
    assert status(client, launch_run) == "KILLED"
    assert note(client, launch_run).startswith("stopped by SIGTERM")


def test_sigterm_before_the_run_is_open_ends_the_launch(
    client: MlflowClient, launch_run: str
) -> None:
    assert run_step(resolve=terminate) == 130
    assert status(client, launch_run) == "KILLED"
    assert ours(client) == []


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


def test_a_store_out_of_reach_exits_2_with_one_line(store: str, capsys: Capture) -> None:
    use_store(f"postgresql://clinic:hunter2@127.0.0.1:{closed_port()}/mlflow")
    assert run_step() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("train: the tracking store postgresql://clinic:***@127.0.0.1:")


def test_runs_of_the_dead_are_closed_before_the_work_begins(
    client: MlflowClient, dead_owner: str
) -> None:
    tags = {OWNER_TAG: dead_owner}
    orphan = client.create_run(open_experiment(None), tags=tags).info.run_id
    seen = []
    assert run_step(run=lambda *_: seen.append(status(client, orphan))) == 0
    assert seen == ["KILLED"]


def test_help_exits_0_and_opens_no_run(client: MlflowClient, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as caught:
        run_step("--help")
    assert caught.value.code == 0
    assert "What it does." in capsys.readouterr().out
    assert client.get_experiment_by_name(EXPERIMENT) is None
