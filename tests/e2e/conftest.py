"""The project as a user has it: a clone of its own, run through the commands of the README."""

from __future__ import annotations

import compileall
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.conftest import ROOT, copy_database, need
from tests.e2e.browser import chromium
from tests.e2e.registry import Registry, copy_store, forge_versions

if TYPE_CHECKING:
    from tests.e2e.backends import Bucket, Postgres

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder: each starts servers, or whole pipelines."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("server")


NOBODY = "http://127.0.0.1:9/heart+disease.zip"
"""An address on this machine where no server listens."""
CACHES = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
QUICK_PIP = {
    "PIP_NO_COMPILE": "1",
    "PIP_CACHE_DIR": f"{CACHES}/pip",
    "UV_CACHE_DIR": f"{CACHES}/uv",
}
"""What makes an installation quick: packages that were fetched before, and nothing compiled."""
QUICK_MLFLOW = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
"""What makes MLflow's server quick: it begins with eight more processes that import MLflow."""


@dataclass
class Clone:
    """A clone of the project with a tracking store, a cache and a home of its own."""

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
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "HEART_"))}
        home = self.path.parent / "home"
        home.mkdir(exist_ok=True)
        path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
        return {
            **kept,
            "PATH": path,
            "XDG_CACHE_HOME": str(home / ".cache"),
            "XDG_STATE_HOME": str(home / ".state"),
            **QUICK_MLFLOW,
            "HEART_UCI_URL": NOBODY,
            **self.env,
            **more,
        }

    def run(self, *words: str, cwd: Path | None = None, timeout: float = 900, **env: str) -> Done:
        """Run a command in the clone and wait for it."""
        done = subprocess.run(
            words,
            cwd=cwd or self.path,
            env=self.environment(**env),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Done(done.returncode, done.stdout + done.stderr)

    def launch(self, entry: str, *, manager: str = "local", cwd: Path | None = None,
               project: str = ".", **parameters: object) -> Done:  # fmt: skip
        """Run an entry point by ``mlflow run``."""
        return self.run(*launch_command(entry, project, manager, **parameters), cwd=cwd)

    def step(self, entry: str, /, **parameters: object) -> Done:
        """Run an entry point by ``python -m``."""
        words = [f"--{name}={value}" for name, value in parameters.items()]
        return self.run(sys.executable, "-m", f"steps.{entry}", *words)

    def start(self, entry: str, **parameters: object) -> subprocess.Popen[bytes]:
        """Start an entry point by ``mlflow run``."""
        return self.start_command(*launch_command(entry, ".", "local", **parameters))

    def start_step(self, entry: str, **parameters: object) -> subprocess.Popen[bytes]:
        """Start an entry point by ``python -m``."""
        words = [f"--{name}={value}" for name, value in parameters.items()]
        return self.start_command(sys.executable, "-m", f"steps.{entry}", *words)

    def start_command(self, *words: str, **env: str) -> subprocess.Popen[bytes]:
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


def launch_command(entry: str, project: str, manager: str, **parameters: object) -> list[str]:
    words = ["mlflow", "run", project, "-e", entry, "--env-manager", manager]
    for name, value in parameters.items():
        words += ["-P", f"{name}={value}"]
    return words


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


def tracked_files() -> list[str]:
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a git repository of the work tree as it is, that no test changes."""
    folder = tmp_path_factory.mktemp("pristine") / "heart"
    for name in tracked_files():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], [*who, "commit", "-qm", "All"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    # Compiled once, and not in each clone anew; git ignores what comes of it.
    compileall.compile_dir(folder, quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
    return folder


def clone_into(path: Path, pristine: Path) -> Clone:
    subprocess.run(["git", "clone", "-q", pristine, path], check=True)
    for compiled in pristine.rglob("__pycache__"):
        shutil.copytree(compiled, path / compiled.relative_to(pristine))
    return Clone(path)


@pytest.fixture(scope="session")
def make_clone(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Clone]:
    def make() -> Clone:
        return clone_into(tmp_path_factory.mktemp("clone") / "heart", pristine)

    return make


@pytest.fixture
def clone(make_clone: Callable[[], Clone]) -> Clone:
    """Return a fresh clone."""
    return make_clone()


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that makes a folder, once for all workers of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def make(name: str, fill: Callable[[Path], object]) -> Path:
        folder, whole = shared / name, shared / f"{name}.whole"
        with FileLock(f"{folder}.lock"):
            if not whole.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                whole.touch()
        return folder

    return make


@pytest.fixture(scope="module")
def cleveland(
    pristine: Path, make_once: Callable[..., Path], uci_zip: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Clone:  # fmt: skip
    """Return a clone in which ``main`` ran on the UCI archive, and nothing since."""

    def run_main(folder: Path) -> None:
        clone_into(folder / "heart", pristine).launch("main", source=uci_zip).succeeded()

    source = make_once("cleveland", run_main)
    folder = tmp_path_factory.mktemp("cleveland")
    shutil.copytree(source / "home", folder / "home")
    return Clone(copy_store(source / "heart", folder / "heart"))


@pytest.fixture(scope="session")
def forged(make_once: Callable[..., Path]) -> Path:
    """Return a registry of small models that no test changes."""
    return make_once("forged", forge_versions)


@pytest.fixture(scope="module")
def registry(forged: Path, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return a registry of small models for the tests of one file."""
    return Registry(tmp_path_factory.mktemp("registry") / "copy", forged)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Run one PostgreSQL server for all tests that need one."""
    from tests.e2e.backends import a_postgres

    with a_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """Run an S3 server with a bucket for the tests of one file."""
    from tests.e2e.backends import Bucket

    made = Bucket(tmp_path_factory.mktemp("s3"))
    yield made
    made.stop()


@pytest.fixture
def bare_store(clone: Clone, empty_database: Path) -> Clone:
    """Return a fresh clone whose tracking store exists already."""
    copy_database(empty_database, clone.path, "mlruns", "DELETE")
    return clone


@pytest.fixture
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of a megabyte, or of what is asked for, which only root may do."""
    folder, size = tmp_path / "disk", getattr(request, "param", "1m")
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder]
    mounted = subprocess.run(mount, check=False, capture_output=True)
    need(mounted.returncode == 0, "a small disk needs the right to mount one")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def model_facts(run: Run, client: MlflowClient) -> dict[str, object]:
    """Return model.json of the model that a train run logged."""
    folder = client.get_logged_model(run.outputs.model_outputs[0].model_id).artifact_location
    path = Path(folder.removeprefix("file://")) / "extra_files" / "model.json"
    return dict(json.loads(path.read_text()))
