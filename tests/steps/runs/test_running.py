"""The frame of every entry point: exit codes, messages, and runs that ended truthfully."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from steps.runs.orphans import OWNER_TAG

from clinical.errors import DataError
from steps.runs import tracking
from steps.runs.running import Values, run_step
from steps.runs.store import StepError
from steps.runs.tracking import StepRun
from tests.servers import closed_port
from tests.steps.conftest import note, status

Capture = pytest.CaptureFixture[str]


def does_nothing(_run: StepRun, _values: Values) -> None:
    """Be the work of a step."""


def raises(error: BaseException) -> Callable[..., None]:
    def work(_run: StepRun, _values: Values) -> None:
        raise error

    return work


def ours(client: MlflowClient) -> list[str]:
    """Return the status of every run in the named experiment."""
    found = client.get_experiment_by_name(tracking.EXPERIMENT)
    runs = client.search_runs([found.experiment_id]) if found else []
    return [run.info.status for run in runs]


def test_work_that_ends_well_exits_0_with_a_finished_run(client: MlflowClient) -> None:
    got: list[object] = []

    def work(run: StepRun, values: Values) -> None:
        got.extend([run.run_id, values["max_depth"]])

    assert run_step("train", work, ["--max_depth=7"]) == 0
    assert got[1] == 7
    assert status(client, str(got[0])) == "FINISHED"


def test_the_words_of_the_command_line_are_the_default(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(sys, "argv", ["train", "--max_depth=0"])
    assert run_step("train", does_nothing) == 2
    assert "max_depth" in capsys.readouterr().err


def test_what_imports_have_made_is_not_looked_through_for_garbage(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected: list[object] = []

    def resolve(_values: Values, _experiment_id: str) -> None:
        collected.append(gc.isenabled())

    def work(_run: StepRun, _values: Values, _resolved: None) -> None:
        collected.extend([gc.isenabled(), gc.get_freeze_count() > 100_000])

    monkeypatch.setattr(sys, "argv", ["train"])
    try:
        assert run_step("train", work, resolve=resolve) == 0
    finally:
        gc.unfreeze()
    assert collected == [False, True, True]


def test_what_goes_on_beside_starts_before_all_else_but_not_with_wrong_parameters(
    client: MlflowClient, store: str
) -> None:
    begun: list[object] = []

    def ahead(values: Values) -> None:
        begun.append(values["max_depth"])
        raise StepError("before the store was asked")

    assert run_step("train", does_nothing, ["--max_depth=0"], ahead=ahead) == 2
    assert begun == []
    with pytest.raises(StepError):
        run_step("train", does_nothing, ["--max_depth=7"], ahead=ahead)
    assert begun == [7]
    assert client.get_experiment_by_name(tracking.EXPERIMENT) is None


def test_a_wrong_parameter_exits_2_with_one_line_and_no_run(
    client: MlflowClient, capsys: Capture
) -> None:
    assert run_step("train", does_nothing, ["--max_depth=0"]) == 2
    said = capsys.readouterr()
    assert said.err == "train: 'max_depth' must be an integer in [1, 100]. Got '0' instead.\n"
    assert said.out == ""
    assert client.get_experiment_by_name(tracking.EXPERIMENT) is None


def test_every_problem_has_a_line_of_its_own(client: MlflowClient, capsys: Capture) -> None:
    assert run_step("train", does_nothing, ["--max_depth=0", "--test_size=2", "--depth=3"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("train: ") for line in lines)


def test_a_wrong_parameter_ends_the_launch_as_failed_with_the_line_as_its_note(
    client: MlflowClient, launch_run: str
) -> None:
    assert run_step("train", does_nothing, ["--max_depth=0", "--depth=3"]) == 2
    assert status(client, launch_run) == "FAILED"
    assert "train: 'max_depth' must be an integer in [1, 100]" in note(client, launch_run)
    assert "train: unknown parameter 'depth'" in note(client, launch_run)
    assert client.get_experiment_by_name(tracking.EXPERIMENT) is None


def test_a_wrong_parameter_is_told_though_the_store_is_out_of_reach(
    launch_run: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    address = f"http://127.0.0.1:{closed_port()}"
    monkeypatch.setattr(tracking.mlflow, "get_tracking_uri", lambda: address)
    assert run_step("train", does_nothing, ["--max_depth=0"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("train: 'max_depth' must be")
    assert f"the tracking store {address} does not answer" in said
    assert "Traceback" not in said


def nothing_there(_values: Values, _experiment_id: str) -> None:
    raise StepError("there is no such thing")


def test_what_does_not_exist_exits_2_before_a_run_of_ours_opens(
    client: MlflowClient, capsys: Capture
) -> None:
    assert run_step("train", does_nothing, [], resolve=nothing_there) == 2
    assert capsys.readouterr().err == "train: there is no such thing\n"
    assert ours(client) == []


def test_what_does_not_exist_ends_the_launch_as_failed(
    client: MlflowClient, launch_run: str
) -> None:
    assert run_step("train", does_nothing, [], resolve=nothing_there) == 2
    assert status(client, launch_run) == "FAILED"
    assert note(client, launch_run) == "train: there is no such thing"


def test_what_was_looked_up_is_given_to_the_work(client: MlflowClient) -> None:
    got: list[object] = []

    def work(_run: StepRun, _values: Values, given: object) -> None:
        got.append(given)

    assert run_step("train", work, [], resolve=lambda _values, experiment_id: experiment_id) == 0
    assert got == [tracking.open_experiment(None)]


@pytest.mark.parametrize("error", [
    DataError("what is wrong"),
    StepError("what is wrong"),
    OSError("what is wrong"),
    MlflowException("what is wrong"),
], ids=lambda error: type(error).__name__)  # fmt: skip
def test_an_expected_failure_exits_1_with_its_message_and_no_traceback(
    client: MlflowClient, launch_run: str, capsys: Capture, error: Exception
) -> None:
    assert run_step("train", raises(error), []) == 1
    assert capsys.readouterr().err == "train: what is wrong\n"
    assert ours(client) == ["FAILED"]
    assert status(client, launch_run) == "FAILED"
    assert note(client, launch_run).startswith("what is wrong\n")


def test_a_message_of_many_lines_is_told_whole(client: MlflowClient, capsys: Capture) -> None:
    assert run_step("train", raises(DataError("row 3: chol\nrow 5: age")), []) == 1
    assert capsys.readouterr().err == "train: row 3: chol\nrow 5: age\n"


def test_an_unexpected_failure_exits_1_with_a_traceback_and_a_failed_run(
    client: MlflowClient, launch_run: str, capsys: Capture
) -> None:
    assert run_step("train", raises(ZeroDivisionError("by zero")), []) == 1
    said = capsys.readouterr().err
    assert "Traceback (most recent call last)" in said
    assert "ZeroDivisionError: by zero" in said
    assert ours(client) == ["FAILED"]
    assert status(client, launch_run) == "FAILED"
    assert note(client, launch_run).startswith("by zero\n")


def test_an_unexpected_failure_of_the_looking_up_ends_the_launch_too(
    client: MlflowClient, launch_run: str, capsys: Capture
) -> None:
    def fails(_values: Values, _experiment_id: str) -> None:
        raise ZeroDivisionError("by zero")

    assert run_step("train", does_nothing, [], resolve=fails) == 1
    assert "Traceback" in capsys.readouterr().err
    assert status(client, launch_run) == "FAILED"
    assert "by zero" in note(client, launch_run)


def test_a_run_that_cannot_be_opened_ends_the_launch_too(
    client: MlflowClient, launch_run: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def locked(*_: object) -> None:
        raise MlflowException("database is locked")

    monkeypatch.setattr(tracking, "_open", locked)
    assert run_step("train", does_nothing, []) == 1
    assert capsys.readouterr().err == "train: database is locked\n"
    assert status(client, launch_run) == "FAILED"
    assert note(client, launch_run) == "train: database is locked"


def test_sigterm_closes_the_run_as_killed(
    client: MlflowClient, launch_run: str, capsys: Capture
) -> None:
    tidied = []

    def work(_run: StepRun, _values: Values) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        finally:
            tidied.append(True)

    assert run_step("train", work, []) == 130
    assert capsys.readouterr().err == "train: stopped\n"
    assert tidied == [True]
    assert ours(client) == ["KILLED"]
    assert status(client, launch_run) == "KILLED"
    assert note(client, launch_run).startswith("stopped by SIGTERM")


def test_an_interrupt_from_the_keyboard_closes_the_run_as_killed(
    client: MlflowClient, launch_run: str
) -> None:
    assert run_step("train", raises(KeyboardInterrupt()), []) == 130
    assert ours(client) == ["KILLED"]
    assert status(client, launch_run) == "KILLED"


def test_sigterm_before_the_run_is_open_ends_the_launch(
    client: MlflowClient, launch_run: str
) -> None:
    def stopped(_values: Values, _experiment_id: str) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()

    assert run_step("train", does_nothing, [], resolve=stopped) == 130
    assert status(client, launch_run) == "KILLED"
    assert ours(client) == []


def test_a_store_out_of_reach_exits_2_with_one_line(
    store: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    address = f"postgresql://clinic:hunter2@127.0.0.1:{closed_port()}/mlflow"
    monkeypatch.setattr(tracking.mlflow, "get_tracking_uri", lambda: address)
    assert run_step("train", does_nothing, []) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert said.startswith("train: the tracking store postgresql://clinic:***@127.0.0.1:")
    assert "hunter2" not in said


def test_runs_of_the_dead_are_closed_before_the_work_begins(
    client: MlflowClient, dead_owner: str
) -> None:
    experiment_id = tracking.open_experiment(None)
    tags = {OWNER_TAG: dead_owner}
    orphan = client.create_run(experiment_id, tags=tags).info.run_id
    seen = []

    def work(_run: StepRun, _values: Values) -> None:
        seen.append(status(client, orphan))

    assert run_step("train", work, []) == 0
    assert seen == ["KILLED"]


def test_help_exits_0_and_opens_no_run(client: MlflowClient, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as caught:
        run_step("train", does_nothing, ["--help"])
    assert caught.value.code == 0
    assert "--max_depth" in capsys.readouterr().out
    assert client.get_experiment_by_name(tracking.EXPERIMENT) is None
