"""What every test may use: the real data, and an environment that keeps to itself."""

import os
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import chdir, closing
from pathlib import Path
from typing import Any

import pytest

from tests.serving import forge

ROOT = Path(__file__).parents[1]
IN_CI = os.environ.get("CI") == "true"
# Read before a test clears its environment, in which a fixture may be asked for first.
DATA = Path(os.environ.get("HEART_DATA_DIR", ROOT.parent / "shared" / "data"))


def pytest_configure() -> None:
    """Take Ctrl-C again where tests run in the background of a shell, which ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def need(available: object, reason: str) -> None:
    """Skip a test whose means are missing; in CI nothing may be missing, so fail there."""
    if not available:
        (pytest.fail if IN_CI else pytest.skip)(reason)


def program(name: str, package: str, path: str | None = None) -> str:
    """Return a program of a Debian package, without which the test is skipped."""
    found = shutil.which(name, path=path)
    need(found, f"{name} is missing: apt-get install {package}")
    return str(found)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Compute in one thread, as the processes that tests start do."""
    import sklearn.ensemble  # noqa: F401 - loads what is limited
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of real patient files, which the repository itself never holds."""
    need(DATA.is_dir(), f"real data not found: no folder {DATA}; set HEART_DATA_DIR")
    return DATA


@pytest.fixture(scope="session")
def uci_zip(data_dir: Path) -> Path:
    """Return the UCI archive as published."""
    return data_dir / "heart+disease.zip"


@pytest.fixture(scope="session")
def pipeline() -> Any:
    return forge.fit("forest")


@pytest.fixture(scope="session")
def model_folder(pipeline: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model's directory in format 1 with an ONNX model, as the cache holds it."""
    folder = tmp_path_factory.mktemp("model")
    forge.write_extras(folder / "extra_files", pipeline)
    return folder


@pytest.fixture(scope="session")
def new_folder(pipeline: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model's directory in the format that is written now."""
    return forge.save_format_2(tmp_path_factory.mktemp("new") / "model", pipeline)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an initialised MLflow database: making one takes seconds, copying it none."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    with chdir(path.parent):  # where it puts a folder for artifacts
        MlflowClient(f"sqlite:///{path}", f"sqlite:///{path}").search_experiments()
    return path


def copy_database(
    template: Path, folder: Path, artifacts: str = "artifacts", journal: str = "WAL"
) -> str:
    """Copy a database into a folder, in which its artifacts go too, and return its URI."""
    path = folder / "mlflow.db"
    shutil.copyfile(template, path)
    with closing(sqlite3.connect(path)) as connection:
        # WAL is four times as fast: these files need not survive a power cut.
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.execute(
            "UPDATE experiments SET artifact_location = ? || '/' || experiment_id",
            (f"{folder / artifacts}",),
        )
        connection.commit()
    return f"sqlite:///{path}"


def pytest_report_header() -> str:
    """Say beforehand how long the tests take, as the README does."""
    before = (ROOT / "README.md").read_text().partition("\n\n<!-- test -->")[0]
    return before.rpartition("\n\n")[2]


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Say why a test is skipped as it happens, and not half an hour later."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return None
    _, _, reason = report.longrepr
    return "skipped", f"\n{report.nodeid}: {reason}\n", "SKIPPED"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that start servers or take long: none of them is left for the end."""
    long = {item.path for item in items if any(map(item.get_closest_marker, ("server", "slow")))}
    items.sort(key=lambda item: item.path not in long)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give a worker whole files, whose fixtures run servers and pipelines, in their order."""
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False  # else the files of e2e, with few tests, come last
    return LoadFileScheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI everything is at hand, so a skipped test is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if IN_CI and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
