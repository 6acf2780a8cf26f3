"""Every command of the README does what it says, in the order in which it stands there.

The two set-up commands are run by ``.ci/run``, in empty environments.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.e2e.conftest import Clone, wait_for
from tests.e2e.servers import serve_file

README = (ROOT / "README.md").read_text()
SETUP = re.compile(r"<!-- (?:run|test) -->\n```bash\n.*?```", re.DOTALL)
ELSEWHERE = {
    "mlflow ui": "test_mlflow_ui_starts_on_what_the_pipeline_left",
    'mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI"': "the same, with the store of `export`",
    "export MLFLOW_TRACKING_URI=sqlite:////absolute/path/mlflow.db": "the same",
}
"""Commands that do not end by themselves, or mean nothing alone, and what tries them instead."""


def commands() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", SETUP.sub("", README), re.DOTALL)
    lines = (line.partition("  #")[0].strip() for block in blocks for line in block.splitlines())
    return [line for line in lines if line and line not in ELSEWHERE]


def pipeline_commands() -> list[str]:
    return [line for line in commands() if line.startswith(("mlflow run", "python"))]


@pytest.fixture(scope="module")
def followed(make_clone: Callable[[], Clone], data_dir: Path) -> Clone:
    """Return a clone in which the README was followed up to its first command."""
    made = make_clone()
    shutil.copy(data_dir / "kaggle_heart_303.csv", made.path / "heart.csv")
    made.launch("main").succeeded()
    return made


@pytest.mark.parametrize("command", pipeline_commands())
def test_a_command_of_the_readme_works(followed: Clone, uci_zip: Path, command: str) -> None:
    line = command
    if "<run id>" in line:
        line = line.replace("<run id>", followed.runs("train", "FINISHED")[0].info.run_id)
    with serve_file(uci_zip) as server:
        done = followed.run("bash", "-c", line, HEART_UCI_URL=server.url)
    if "promote=require" in line and done.code:
        # The gate's verdict on the latest model decides the exit code, as the README says.
        assert "promote=require: version" in done.output
    else:
        done.succeeded()


def test_mlflow_ui_starts_on_what_the_pipeline_left(cleveland: Clone) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("mlflow")), "ui", "--backend-store-uri", cleveland.uri,
         "--port", str(port), "--workers", "1"],
        cwd=cleveland.path, env=cleveland.environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer:
                return answer.status == 200
        except OSError:
            return False

    try:
        wait_for(answers, 90, "mlflow ui")
    finally:
        process.terminate()
        process.wait(timeout=30)
