"""Tracking stores in which the steps run, one after the other in this process."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE

from steps.registry import versions
from steps.runs.tracking import experiment, step_run
from steps.work.training import model
from tests.conftest import copy_database

NAME = "heart-disease-model"
SMALL = ("--n_estimators=25",)


@dataclass
class Store:
    """A store in which the steps have run, with the folder of their working copies."""

    uri: str
    folder: Path
    runs: dict[str, str] = field(default_factory=dict)

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.uri, self.uri)

    @property
    def copies(self) -> Path:
        return self.folder / "copies"

    def run(self, step: str) -> Run:
        return self.client.get_run(self.runs[step])

    def artifacts(self, step: str) -> Path:
        return Path(self.run(step).info.artifact_uri.removeprefix("file://"))

    def do(self, step: str, *words: str) -> int:
        """Run a step in this process, and return its exit code."""
        entry = importlib.import_module(f"steps.{step}")
        return int(entry.main(words))

    def latest(self, step: str) -> str:
        return str(runs_of(self.client, step)[0].info.run_id)

    def done(self, name: str, step: str, *words: str) -> None:
        """Run a step that must succeed, and remember its run by a name."""
        assert self.do(step, *words) == 0
        self.runs[name] = self.latest(step)


def runs_of(client: MlflowClient, step: str) -> list[Run]:
    """Return the runs of a step in the project's experiment, newest first."""
    experiment_id = experiment.open_experiment(None)
    query, order = f"tags.`heart.step` = '{step}'", ["attributes.start_time DESC"]
    return list(client.search_runs([experiment_id], query, order_by=order))


@contextmanager
def store_in_use(uri: str) -> Iterator[None]:
    """Make a tracking store the one that MLflow's functions talk to."""
    before = mlflow.get_tracking_uri()
    use_store(uri)
    try:
        yield
    finally:
        use_store(before)


def use_store(uri: str) -> None:
    """Make it so for good."""
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(uri)


@contextmanager
def steps_in(folder: Path, empty_database: Path) -> Iterator[Store]:
    """Give the steps a store, a cache and working copies in a folder."""
    made = Store(copy_database(empty_database, folder), folder)
    with pytest.MonkeyPatch.context() as patch, store_in_use(made.uri):
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.chdir(folder)
        for module in (step_run, model):
            patch.setattr(module, "ROOT", made.copies)
        yield made


def holders(name: str = NAME) -> tuple[str | None, str | None]:
    """Return the versions that are champion and challenger."""
    champion, challenger = (versions.holder(name, alias) for alias in ("champion", "challenger"))
    return champion and versions.number(champion), challenger and versions.number(challenger)


def locked(*_: object, **__: object) -> None:
    """Fail as a request to a store that cannot answer for now."""
    raise MlflowException("database is locked", TEMPORARILY_UNAVAILABLE)


class FakeLaunch:
    """Takes the place of ``mlflow.run``: notes what is asked for, and makes a finished run."""

    def __init__(self, **metrics: float) -> None:
        self.asked: list[dict[str, Any]] = []
        self.metrics = metrics

    def __call__(self, **how: Any) -> SimpleNamespace:
        self.asked.append(how)
        client, tags = MlflowClient(), {"heart.step": how["entry_point"]}
        run_id = client.create_run(how["experiment_id"], tags=tags).info.run_id
        for name, value in self.metrics.items():
            client.log_metric(run_id, name, value)
        client.set_terminated(run_id)
        return SimpleNamespace(run_id=run_id)
