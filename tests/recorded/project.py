"""A clone of the project, and its commands as a user runs them."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

from tests.serving.service import environment

EXPERIMENT = "Heart Disease Prediction"
MODEL = "heart-disease-model"
SECONDS = 900  # no command takes a tenth of it; a loaded machine may
_VOLATILE = (
    (r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "<time>"),
    (r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)?", "<time>"),
    (r"\b[0-9a-f]{64}\b", "<sha256>"),
    (r"\b([0-9a-f]{40}|[0-9a-f]{12})\b", "<commit>"),
    (r"\b[0-9a-f]{32}\b", "<id>"),
    (r"/[\w/.-]*/tmp\w{8}(/tmp\w{8})*", "<temporary>"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:<port>"),
    (r"[\d,.]+ rows a second", "<rate> rows a second"),
)


@dataclass(frozen=True)
class Project:
    """A clone with a tracking store, a cache and a home of its own, all below one folder."""

    work: Path

    @classmethod
    def clone(cls, source: Path, work: Path) -> Project:
        """Clone the last commit of a work tree."""
        work.mkdir(parents=True)
        made = cls(work)
        subprocess.run(["git", "clone", "-q", source.resolve(), made.path], check=True)
        subprocess.run(["git", "remote", "remove", "origin"], cwd=made.path, check=True)
        return made

    @property
    def path(self) -> Path:
        return self.work / "project"

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.path}/mlflow.db"

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.uri, self.uri)

    def environment(self, **more: str) -> dict[str, str]:
        own = {
            "PYTHONPATH": "",
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
            "COLUMNS": "100",
        }
        return environment(self.work, **own | more)

    def run(self, *words: str) -> dict[str, Any]:
        """Run a command in the clone; return its exit code and its lines, without what varies."""
        started = time.monotonic()
        done = subprocess.run(
            words,
            cwd=self.path,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        print(f"{time.monotonic() - started:6.1f} s", *words, file=sys.stderr, flush=True)
        return {
            "code": done.returncode,
            "stdout": self.steady(done.stdout).splitlines(),
            "stderr": self.steady(done.stderr).splitlines(),
        }

    def step(self, entry: str, *words: str, **parameters: object) -> dict[str, Any]:
        """Run an entry point by ``python -m``."""
        given = [f"--{name}={value}" for name, value in parameters.items()]
        return self.run("python", "-m", f"steps.{entry}", *given, *words)

    def launch(self, entry: str, **parameters: object) -> dict[str, Any]:
        """Run an entry point by ``mlflow run``."""
        given = [word for name, value in parameters.items() for word in ("-P", f"{name}={value}")]
        return self.run("mlflow", "run", ".", "-e", entry, "--env-manager", "local", *given)

    def steady(self, text: str) -> str:
        """Return a text without what another run would have otherwise: times, ids, paths."""
        text = text.replace(str(self.path), "<project>").replace(str(self.work), "<work>")
        text = text.replace(sys.executable, "<python>")
        for pattern, name in _VOLATILE:
            text = re.sub(pattern, name, text)
        return text

    def latest(self, step: str) -> Run:
        """Return the newest run of a step."""
        experiment = self.client.get_experiment_by_name(EXPERIMENT)
        return self.client.search_runs(
            [experiment.experiment_id],
            f"tags.`heart.step` = '{step}'",
            order_by=["attributes.start_time DESC"],
            max_results=1,
        )[0]

    def artifact(self, run: Run, name: str) -> Path:
        """Return a local copy of a run's artifact."""
        target = self.work / "artifacts" / run.info.run_id
        target.mkdir(parents=True, exist_ok=True)
        return Path(self.client.download_artifacts(run.info.run_id, name, str(target)))
