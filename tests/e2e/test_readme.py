"""Every command of the README does what it says, in the order in which it stands there.

The two set-up commands are run by ``.ci/run``, in empty environments; those of the backends by
``test_backends_*.py``, each with the real servers.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from serving import create_app
from serving.settings import SETTINGS
from tests.conftest import ROOT
from tests.e2e.conftest import Clone, wait_for
from tests.servers import gives, serving
from tests.serving.conftest import FakeFollowing
from tests.serving.service import free_port

README = (ROOT / "README.md").read_text()
MARKED = re.compile(r"<!-- ([\w .-]+) -->\n```\w+\n.*?```", re.DOTALL)
"""Blocks that need more than a clone: tried in empty environments, or with servers of their own."""
ELSEWHERE = {
    "gunicorn -c serving/gunicorn.conf.py": "test_the_service_of_the_readme_answers_its_request",
    "mlflow run . -e serve --env-manager local -P port=8000 -P workers=2": "the same test",
    "mlflow run . -e sweep --env-manager local -P scheduler=tcp://127.0.0.1:8786": "test_sweep",
    "mlflow ui": "test_mlflow_ui_starts_on_what_the_pipeline_left",
    'mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI"': "the same, with the store of `export`",
    "export MLFLOW_TRACKING_URI=sqlite:////absolute/path/mlflow.db": "the same",
}
"""Commands that do not end by themselves, or mean nothing alone, and what tries them instead."""


def commands() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", MARKED.sub("", README), re.DOTALL)
    lines = (line.partition("  #")[0].strip() for block in blocks for line in block.splitlines())
    return [line for line in lines if line and line not in ELSEWHERE]


def answers(url: str) -> bool:
    """Tell whether a server answers with 200."""
    try:
        with urllib.request.urlopen(url) as answer:
            return answer.status == 200
    except OSError:
        return False


def pipeline_commands() -> list[str]:
    return [line for line in commands() if line.startswith(("mlflow run", "python"))]


@pytest.fixture(scope="module")
def followed(make_clone: Callable[[], Clone], data_dir: Path) -> Clone:
    """Return a clone in which the README was followed up to its first command."""
    made = make_clone()
    shutil.copy(data_dir / "kaggle_heart_303.csv", made.path / "heart.csv")
    made.launch("main").succeeded()
    return made


def test_every_marked_block_is_tried_by_somebody() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_backends_*.py"))
    for marker in MARKED.findall(README):
        assert marker in ("run", "test") or f'blocks("{marker}")' in tests, marker


@pytest.mark.parametrize("command", pipeline_commands())
def test_a_command_of_the_readme_works(followed: Clone, uci_zip: Path, command: str) -> None:
    line = command
    if "<run id>" in line:
        line = line.replace("<run id>", followed.runs("train", "FINISHED")[0].info.run_id)
    with serving(gives(uci_zip.read_bytes())) as server:
        done = followed.run("bash", "-c", line, HEART_UCI_URL=server.url())
    if "promote=require" in line and done.code:
        # The gate's verdict on the latest model decides the exit code, as the README says.
        assert "promote=require: version" in done.output
    else:
        done.succeeded()


def test_mlflow_ui_starts_on_what_the_pipeline_left(cleveland: Clone) -> None:
    port = free_port()
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("mlflow")), "ui", "--backend-store-uri", cleveland.uri,
         "--port", str(port), "--workers", "1"],
        cwd=cleveland.path, env=cleveland.environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/health"), 90, "mlflow ui")
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.mark.parametrize("entry", ["gunicorn", "mlflow run . -e serve"])
def test_the_service_of_the_readme_answers_its_request(cleveland: Clone, entry: str) -> None:
    (command,) = (line for line in ELSEWHERE if line.startswith(f"{entry} "))
    requests = [line for line in commands() if line.startswith("curl")]
    port = free_port()
    environment = cleveland.environment(HEART_PORT=str(port))
    process = subprocess.Popen(
        command.replace("8000", str(port)).split(), cwd=cleveland.path, env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/ready"), 90, "a model to be served")
        done, explained = (
            cleveland.run("bash", "-c", request.replace("8000", str(port))).succeeded()
            for request in requests
        )
    finally:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.terminate()
        process.terminate()
        process.wait(timeout=60)
    answer, shown = json.loads(done.output), json.loads(README.split("```json")[1].split("```")[0])
    assert answer.keys() == shown.keys()
    # What is shown is the answer of the default model of the real patients.
    assert answer["probability"] == pytest.approx(shown["probability"], abs=0.01)
    assert {k: answer[k] for k in ("risk_level", "data_source", "engine")} == {
        k: shown[k] for k in ("risk_level", "data_source", "engine")
    }
    assert answer["model_version"].startswith("registry-v")
    assert json.loads(explained.output)["probability"] == answer["probability"]


def test_every_setting_of_the_service_is_documented_with_its_default_and_no_other() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    for setting in SETTINGS:
        default = f"`{setting.default}`" if setting.default else ""
        assert f"| `{setting.name}` | {default} | {setting.help} |" in text
    named = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert named == [setting.name for setting in SETTINGS]


def test_the_readme_names_every_route_of_the_service_and_no_other(tmp_path: Path) -> None:
    table = README.split("| route | |")[1].split("\n\n")[0]
    named = set(re.findall(r"(/[a-z/.]*)", " ".join(re.findall(r"`([^`]*)`", table))))
    rules = {
        rule.rule
        for rule in create_app({"following": FakeFollowing(tmp_path)}).url_map.iter_rules()
    }
    public = {rule for rule in rules if "<" not in rule and not rule.startswith("/docs/")}
    assert named == public
