"""A tracking store, a cache and folders of working copies of its own for each test."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from clinical import archive, cohort, hospitals
from clinical.preparation import prepare
from clinical.schema import LABEL
from risk_model.metadata import Git
from steps.modelling import estimators, training
from steps.modelling.model_metadata import gather
from steps.parameters.declaration import select
from steps.parameters.entry_points import Train
from steps.runs.tracking import experiment, step_run
from steps.work.training import model
from tests.conftest import copy_database
from tests.steps.stores import store_in_use

Patients = estimators.Patients


@pytest.fixture(scope="session", autouse=True)
def quiet_mlflow() -> None:
    """Keep MLflow from reporting to its makers, and from drawing progress bars."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"


@pytest.fixture(autouse=True)
def own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give a test a cache and working folders of its own; put the environment back after it."""
    before = dict(os.environ)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("HEART_")]:
        monkeypatch.delenv(name)
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for module in (step_run, model):
        monkeypatch.setattr(module, "ROOT", tmp_path / "copies")
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    logging.disable(logging.NOTSET)
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def store(tmp_path: Path, empty_database: Path) -> Iterator[str]:
    """Return the URI of a fresh tracking store, which MLflow uses during the test."""
    uri = copy_database(empty_database, tmp_path)
    with store_in_use(uri):
        yield uri


@pytest.fixture
def client(store: str) -> MlflowClient:
    """Return a client of the fresh tracking store."""
    return MlflowClient(store, store)


@pytest.fixture
def experiment_id(client: MlflowClient) -> str:
    """Return the id of the project's experiment in the fresh store."""
    return experiment.open_experiment(None)


@pytest.fixture
def make_run(client: MlflowClient) -> Callable[..., Run]:
    """Return a function that makes a run with tags, in any state."""

    def make(experiment_id: str = "0", status: str = "RUNNING", **tags: str) -> Run:
        run_id = client.create_run(experiment_id, tags=tags).info.run_id
        if status != "RUNNING":
            client.set_terminated(run_id, status)
        return client.get_run(run_id)

    return make


@pytest.fixture
def launch_run(client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> str:
    """Open a run as ``mlflow run`` does before a step starts, and return its id."""
    tags = {"mlflow.project.entryPoint": "train", "mlflow.runName": "wise-owl-123"}
    run_id = str(client.create_run("0", tags=tags).info.run_id)
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
    return run_id


def note(client: MlflowClient, run_id: str) -> str:
    """Return the note of a run."""
    return client.get_run(run_id).data.tags.get("mlflow.note.content", "")


def status(client: MlflowClient, run_id: str) -> str:
    """Return the status of a run."""
    return str(client.get_run(run_id).info.status)


def owner_tag(pid: int, **other: object) -> str:
    """Return the tag by which a living process says that a run is its own."""
    owner = {
        "host": socket.gethostname(),
        "pid": pid,
        "started": psutil.Process(pid).create_time(),
    }
    return json.dumps(owner | other)


@pytest.fixture
def dead_owner() -> str:
    """Return the owner tag of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    tag = owner_tag(process.pid)
    process.communicate()
    return tag


@pytest.fixture(scope="session")
def sample_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of 300 synthetic patients in the UCI coding."""
    path = tmp_path_factory.mktemp("sample") / "synthetic.data"
    cohort.write_uci(cohort.draw(300, 7), path)
    return path


@pytest.fixture(scope="session")
def sample(sample_file: Path) -> Patients:
    """Return 300 synthetic patients: features and label."""
    return estimators.columns(prepare(sample_file, sample_file.name).frame)


@pytest.fixture(scope="session")
def cleveland(uci_zip: Path) -> Patients:
    """Return the Cleveland patients: features and label."""
    members = archive.open_source(uci_zip)
    member = archive.choose_member(members)
    return estimators.columns(prepare(members[member], member).frame)


@pytest.fixture(scope="session")
def facts(sample: Patients) -> dict[str, Any]:
    """Return the metadata of a small forest of synthetic patients, as plain JSON values."""
    patients = sample[0].assign(**{LABEL.name: sample[1]})
    other = hospitals.Cohort("va", "Elsewhere", patients.head(60).assign(ca=np.nan), 60)
    values = select(Train, {}, n_estimators=10)
    data = training.Input(patients, "", "synthetic", "f" * 64, [other])
    done = training.fit(estimators.from_parameters(values), values, data)
    about = {"run_id": "0" * 32, "git": Git(commit="c" * 40), "repository": None, "base": None}
    return gather(done, None).model_copy(update=about).as_dict()


def build(**values: Any) -> estimators.Recipe:
    """Return the unfitted model of train's defaults, but for some parameters."""
    return estimators.from_recorded(values)


def small(**values: Any) -> estimators.Recipe:
    """Return an unfitted model of 15 trees, if any, without a calibration."""
    few = {"n_estimators": 15, "max_depth": 4, "calibration": "none", "random_state": 1}
    return build(**few | values)
