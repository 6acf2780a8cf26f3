"""A store in which steps run one after the other in this process."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from steps.runs.tracking import experiment
from steps.work import download, preprocess, sweep, train
from tests.conftest import copy_database
from tests.steps.conftest import using

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
        experiment_id = experiment.open_experiment(None)
        query = f"tags.`heart.step` = '{step}'"
        order = ["attributes.start_time DESC"]
        return str(self.client.search_runs([experiment_id], query, order_by=order)[0].info.run_id)

    def done(self, name: str, step: str, *words: str) -> None:
        """Run a step that must succeed, and remember its run by a name."""
        assert self.do(step, *words) == 0
        self.runs[name] = self.latest(step)

    def train(self, source: Path) -> None:
        """Train a small forest on the patients of a file."""
        self.done("download", "download", f"--source={source}")
        self.done("preprocess", "preprocess", "--data=")
        self.done("train", "train", *SMALL)


@contextmanager
def a_store(folder: Path, database: Path) -> Iterator[Store]:
    """Work in a new store, with a cache and working copies of its own, while the block lasts."""
    made = Store(copy_database(database, folder), folder)
    with pytest.MonkeyPatch.context() as patch, using(made.uri):
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.chdir(folder)
        for module in (download, preprocess, sweep, train):
            patch.setattr(module, "ROOT", made.copies)
        yield made
