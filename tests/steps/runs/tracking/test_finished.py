"""Which runs a step may read."""

from collections.abc import Callable

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from steps.runs.store import StepError
from steps.runs.tracking.finished import finished_run, finished_runs, latest_or_named
from steps.runs.tracking.tags import STEP_TAG
from tests.steps.stores import locked

MakeRun = Callable[..., Run]


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
    found = [run.info.run_id for run in finished_runs(experiment_id, "train")]
    assert sorted(found) == sorted([old, new])
    latest = latest_or_named("train", "", experiment_id)
    assert latest is not None
    assert latest.info.run_id == found[0]


def test_a_run_by_its_id_must_be_a_finished_run_of_that_step(
    client: MlflowClient, experiment_id: str, make_run: MakeRun
) -> None:
    good = make_run(experiment_id, "FINISHED", **{STEP_TAG: "train"}).info.run_id
    assert finished_run(good, "train").info.run_id == good
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
            finished_run(run_id, "train")


def test_a_store_that_fails_is_not_a_run_that_does_not_exist(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MlflowClient, "get_run", locked)
    with pytest.raises(MlflowException, match="locked"):
        finished_run("0" * 32, "train")
