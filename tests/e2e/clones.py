"""A clone of the project as a user has it, and the commands that are run in it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.serving.service import environment

CACHES = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
QUICK_PIP = {
    "PIP_NO_COMPILE": "1",
    "PIP_CACHE_DIR": f"{CACHES}/pip",
    "UV_CACHE_DIR": f"{CACHES}/uv",
}
"""What makes an installation quick: packages that were fetched before, and nothing compiled."""
QUICK_MLFLOW = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""What makes MLflow's server quick: it begins with eight more processes that import MLflow."""


@dataclass
class Clone:
    """A clone of the project with a tracking store and caches of its own."""

    path: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.path}/mlflow.db"

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.uri, self.uri)

    @property
    def log(self) -> Path:
        """Where the output of the command goes that was started last."""
        return self.path.parent / "started.log"

    def environment(self, **more: str) -> dict[str, str]:
        home = self.path.parent / "home"
        home.mkdir(exist_ok=True)
        nobody = "http://127.0.0.1:9/heart+disease.zip"  # where no server listens
        own = {"PYTHONPATH": "", "HEART_UCI_URL": nobody, **QUICK_MLFLOW}
        return environment(home, **own | self.env | more)

    def run(self, *words: str, cwd: Path | None = None, **env: str) -> Done:
        """Run a command in the clone and wait for it."""
        done = subprocess.run(
            words, cwd=cwd or self.path, env=self.environment(**env), capture_output=True,
            text=True, timeout=900, check=False,
        )  # fmt: skip
        return Done(done.returncode, done.stdout + done.stderr)

    def launch(self, entry: str, **parameters: object) -> Done:
        return self.run(*launched(entry, **parameters))

    def step(self, entry: str, **parameters: object) -> Done:
        return self.run(*by_hand(entry, **parameters))

    def start(self, words: list[str], **env: str) -> subprocess.Popen[bytes]:
        """Start a command in a process group of its own, and do not wait for it."""
        self.log.unlink(missing_ok=True)
        with self.log.open("wb") as log:
            return subprocess.Popen(
                words, cwd=self.path, env=self.environment(**env), stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def runs(self, step: str = "", status: str = "") -> list[Run]:
        """Return the runs of the named experiment, newest first."""
        experiment = self.client.get_experiment_by_name("Heart Disease Prediction")
        if experiment is None:
            return []
        wanted = {"tags.`heart.step`": step, "attributes.status": status}
        query = " and ".join(f"{name} = '{text}'" for name, text in wanted.items() if text)
        order = ["attributes.start_time DESC"]
        return list(self.client.search_runs([experiment.experiment_id], query, order_by=order))

    def launches(self) -> list[Run]:
        """Return the runs that ``mlflow run`` opened in Default, newest first."""
        return list(self.client.search_runs(["0"], order_by=["attributes.start_time DESC"]))

    def children(self, parent: Run) -> list[Run]:
        """Return the runs below a run, in the order of their steps' names."""
        query = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
        found = self.client.search_runs([parent.info.experiment_id], query)
        return sorted(found, key=lambda run: str(run.data.tags["heart.step"]))

    def find_models(self, run: Run, dataset: str, condition: str) -> list[str]:
        """Return the ids of models whose figures on one of a run's datasets meet a condition."""
        digests = {given.dataset.name: given.dataset.digest for given in run.inputs.dataset_inputs}
        wanted = {"dataset_name": dataset, "dataset_digest": digests[dataset]}
        experiments = [run.info.experiment_id]
        found = self.client.search_logged_models(experiments, condition, datasets=[wanted])
        return [model.model_id for model in found]

    def artifacts(self, run: Run, folder: str = "") -> set[str]:
        """Return the paths of a run's artifacts in a folder."""
        return {entry.path for entry in self.client.list_artifacts(run.info.run_id, folder)}

    def model_of(self, run: Run) -> Path:
        """Return the folder of the model that a train run logged."""
        model = self.client.get_logged_model(run.outputs.model_outputs[0].model_id)
        return Path(model.artifact_location.removeprefix("file://"))

    def metadata(self, run: Run) -> Any:
        """Return model.json of the model that a train run logged."""
        return json.loads((self.model_of(run) / "extra_files" / "model.json").read_text())


@dataclass
class Done:
    """What a finished command left: its exit code, and all it printed."""

    code: int
    output: str

    def succeeded(self) -> Done:
        assert self.code == 0, self.output
        return self

    def failed(self, code: int = 1) -> Done:
        assert self.code == code, self.output
        assert "Traceback" not in self.output, self.output
        return self


def launched(
    entry: str, *, project: str = ".", manager: str = "local", **parameters: object
) -> list[str]:
    """Return the command that runs an entry point by ``mlflow run``."""
    given = [word for name, value in parameters.items() for word in ("-P", f"{name}={value}")]
    return ["mlflow", "run", project, "-e", entry, "--env-manager", manager, *given]


def by_hand(entry: str, **parameters: object) -> list[str]:
    """Return the command that runs an entry point by ``python -m``."""
    given = [f"--{name}={value}" for name, value in parameters.items()]
    return [sys.executable, "-m", f"steps.{entry}", *given]


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it started, at once, as a power cut would."""
    victims = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for victim in victims:
        # Stopped first, so that no parent tidies up after its child.
        os.kill(victim.pid, signal.SIGSTOP)
    for victim in victims:
        os.kill(victim.pid, signal.SIGKILL)
    process.wait()
    psutil.wait_procs(victims, timeout=60)


def clone_into(path: Path, pristine: Path) -> Clone:
    subprocess.run(["git", "clone", "-q", pristine, path], check=True)
    for compiled in pristine.rglob("__pycache__"):
        shutil.copytree(compiled, path / compiled.relative_to(pristine))
    return Clone(path)
