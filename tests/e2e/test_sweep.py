"""``sweep`` through ``mlflow run``: on this machine and on a cluster that runs already."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.clones import Clone, kill_tree, launched
from tests.serving.service import wait_for
from tests.steps.dask_cluster import Cluster, cluster

QUICK = {"models": "logistic_regression", "calibration": "none"}
FIRST = 3


@pytest.fixture(scope="module")
def swept(make_clone: Callable[[], Clone]) -> Clone:
    """Return a clone in which nothing but a small sweep was asked for."""
    made = make_clone()
    done = made.launch(
        "sweep", trials=2, models="random_forest,logistic_regression", calibration="none"
    ).succeeded()
    assert "there is no finished preprocess run yet, so it is built first" in done.output
    (made.path / "said.txt").write_text(done.output)
    return made


@pytest.fixture
def patients(swept: Clone) -> Path:
    """Return prepared patients, so that a sweep in another clone begins at once."""
    return swept.path / "data" / "patients.parquet"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Cluster]:
    """Return a cluster of two workers, in a folder without this project."""
    with cluster(tmp_path, workers=2) as made:
        yield made


def has_begun(clone: Clone) -> bool:
    """Return whether a sweep has logged its first candidates."""
    return len(clone.runs("candidate", "FINISHED")) >= FIRST


def test_the_candidates_and_the_winner_are_runs_below_the_sweep(swept: Clone) -> None:
    (run,) = swept.runs("sweep")
    below = [*swept.runs("candidate", "FINISHED"), *swept.runs("train", "FINISHED")]
    assert len(below) == 3
    assert {one.data.tags["mlflow.parentRunId"] for one in below} == {run.info.run_id}
    assert not [one for one in below if "heart.owner" in one.data.tags]
    (trained,) = swept.runs("train")
    assert run.data.tags["heart.winner"] == trained.info.run_id
    assert run.info.status == "FINISHED"
    (launch,) = swept.launches()
    assert launch.info.run_name == "launch of sweep"


def test_register_takes_the_winner_by_the_command_that_sweep_prints(swept: Clone) -> None:
    (command,) = re.findall(r"^Register: (.*)$", (swept.path / "said.txt").read_text(), re.M)
    swept.run("bash", "-c", command).succeeded()
    (trained,) = swept.runs("train")
    version = swept.client.get_model_version("heart-disease-model", "1")
    assert version.run_id == trained.info.run_id


@pytest.mark.parametrize("own", [True, False], ids=["own cluster", "one that runs already"])
def test_a_worker_that_is_killed_costs_no_result(
    bare_store: Clone, patients: Path, own: bool, request: pytest.FixtureRequest
) -> None:
    running = None if own else request.getfixturevalue("running")
    where = {"scheduler": running.address} if running else {}
    process = bare_store.start(launched("sweep", data=patients, trials=5, **where, **QUICK))
    try:
        wait_for(lambda: has_begun(bare_store), what="the first candidates")
        workers = [one for one in workers_below(process.pid) if one.is_running()]
        assert len(workers) == (2 if own else 0)
        (running.processes[1] if running else workers[0]).kill()
        assert process.wait(timeout=900) == 0
    finally:
        if process.poll() is None:
            kill_tree(process)
    assert len(bare_store.runs("candidate", "FINISHED")) == 5
    assert bare_store.runs("sweep")[0].info.status == "FINISHED"
    assert not running or running.processes[2].poll() is None


def workers_below(pid: int) -> list[psutil.Process]:
    """Return the worker processes of the cluster that a process has started."""
    children = psutil.Process(pid).children(recursive=True)
    return [one for one in children if "forkserver" in " ".join(one.parent().cmdline())]


def test_a_killed_sweep_keeps_its_candidates_and_leaves_nobody_behind(
    bare_store: Clone, patients: Path
) -> None:
    process = bare_store.start(launched("sweep", data=patients, trials=24, **QUICK))
    wait_for(lambda: has_begun(bare_store), what="the first candidates")
    step = next(
        one for one in psutil.Process(process.pid).children(recursive=True)
        if "steps.sweep" in " ".join(one.cmdline()) and "bash" not in one.name()
    )  # fmt: skip
    workers = workers_below(step.pid)
    assert len(workers) == 2
    forkserver = workers[0].parent()
    step.kill()
    assert process.wait(timeout=60) != 0
    _, alive = psutil.wait_procs([*workers, forkserver], timeout=60)
    assert alive == []
    # The next step that starts closes what the dead one has left.
    bare_store.step("preprocess").succeeded()
    assert bare_store.runs("sweep")[0].info.status == "KILLED"
    assert FIRST <= len(bare_store.runs("candidate", "FINISHED")) < 24
    assert bare_store.runs("candidate", "RUNNING") == []
