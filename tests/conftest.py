"""What every test may use: the real data, and an environment that keeps to itself."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.serving import forge

ROOT = Path(__file__).parents[1]
IN_CI = os.environ.get("CI") == "true"


def pytest_configure() -> None:
    """Take Ctrl-C again where tests run in the background of a shell, which ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def need(available: object, reason: str) -> None:
    """Skip a test whose means are missing; in CI nothing may be missing, so fail there."""
    if not available:
        (pytest.fail if IN_CI else pytest.skip)(reason)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of real patient files, which the repository itself never holds."""
    folder = Path(os.environ.get("HEART_DATA_DIR", ROOT.parent / "shared" / "data"))
    need(folder.is_dir(), f"real data not found: no folder {folder}; set HEART_DATA_DIR")
    return folder


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


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI everything is at hand, so a skipped test is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if IN_CI and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
