"""Every command of the README and of docs/ does what it says, in the order in which they stand.

The two set-up commands are run by ``.ci/run``, in empty environments; those of the backends by
``test_backends_*.py``, each with the real servers.
"""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from serving import create_app
from tests import pages
from tests.conftest import ROOT
from tests.e2e.backends import a_server, an_mlflow_server
from tests.e2e.clones import Clone
from tests.servers import gives, serving
from tests.serving.conftest import FakeFollowing
from tests.serving.service import Service, free_port, wait_for

README = (ROOT / "README.md").read_text()
ELSEWHERE = {
    "gunicorn -c serving/gunicorn.conf.py": "test_the_service_answers_the_requests",
    "mlflow run . -e serve --env-manager local -P port=8000 -P workers=2": "the same test",
    "mlflow run . -e sweep --env-manager local -P scheduler=tcp://127.0.0.1:8786": "test_sweep",
    "mlflow ui": "test_mlflow_ui_starts_on_what_the_pipeline_left",
    'mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI"': "the same, with the store of `export`",
    "export MLFLOW_TRACKING_URI=sqlite:////absolute/path/mlflow.db": "the same",
    "export MLFLOW_TRACKING_URI=http://mlflow.example.org:5000": "test_backends_hosts",
    "HEART_HOST=0.0.0.0 gunicorn -c serving/gunicorn.conf.py": "test_backends_hosts",
}
"""Commands that do not end by themselves, or mean nothing alone, and what tries them instead."""

EXECUTE = """
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read("docs/tour.ipynb", as_version=4)
NotebookClient(notebook, timeout=900, resources={"metadata": {"path": "."}}).execute()
nbformat.write(notebook, "tour-executed.ipynb")
"""


def requests_of_the_pages() -> list[str]:
    return [line for line in pages.commands() if line.startswith("curl")]


def commands() -> list[str]:
    tried = [*ELSEWHERE, *requests_of_the_pages()]
    return [line for line in pages.commands() if line not in tried]


@pytest.fixture(scope="module")
def followed(make_clone: Callable[[], Clone], data_dir: Path) -> Clone:
    """Return a clone in which the commands run one after the other, with a file of patients."""
    made = make_clone()
    shutil.copy(data_dir / "kaggle_heart_303.csv", made.path / "heart.csv")
    return made


def test_every_marked_block_is_tried_by_somebody() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    for marker in pages.markers():
        by_hand = marker.startswith(f"{pages.BY_HAND}: ")
        assert marker in ("run", "test") or by_hand or f'blocks("{marker}")' in tests, marker


def test_the_examples_in_python_work(cleveland: Clone) -> None:
    """Each with names of its own, in one process: to import MLflow takes longer than most."""
    one_by_one = "import sys\nfor block in sys.argv[1:]: print(block), exec(block, {})"
    cleveland.run("python", "-c", one_by_one, *pages.unmarked("python")).succeeded()


@pytest.mark.parametrize("command", commands())
def test_a_command_works(followed: Clone, uci_zip: Path, command: str) -> None:
    line = command
    if "<run id>" in line:
        line = line.replace("<run id>", followed.runs("train", "FINISHED")[0].info.run_id)
    if "patients.csv" in line:
        makes = next(b for b in pages.unmarked("python") if '.to_csv("patients.csv"' in b)
        followed.run("python", "-c", makes).succeeded()
    with serving(gives(uci_zip.read_bytes())) as server:
        done = followed.run("bash", "-c", line, HEART_UCI_URL=server.url())
    if "promote=require" in line and done.code:
        # The gate's verdict on the latest model decides the exit code, as the page says.
        assert "promote=require: version" in done.output
    else:
        done.succeeded()


def test_the_tour_shows_probabilities_card_and_runs(cleveland: Clone) -> None:
    cleveland.run("python", "-c", EXECUTE).succeeded()
    cells = json.loads((cleveland.path / "tour-executed.ipynb").read_text())["cells"]
    shown = {cell["id"]: json.dumps(cell.get("outputs")) for cell in cells}
    for cell, words in {
        "score": "risk_level", "card": "not for", "runs": "FINISHED", "figures": "roc_auc",
    }.items():  # fmt: skip
        assert words in shown[cell]


def test_the_notebook_is_committed_without_outputs() -> None:
    cells = json.loads((ROOT / "docs" / "tour.ipynb").read_text())["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


def test_mlflow_ui_starts_on_what_the_pipeline_left(cleveland: Clone) -> None:
    command = f"mlflow ui --backend-store-uri {cleveland.uri}"
    with an_mlflow_server(cleveland.path, command, free_port()) as url:
        assert requests.get(url, timeout=60).status_code == 200


@pytest.mark.parametrize("entry", ["gunicorn", "mlflow run . -e serve"])
def test_the_service_answers_the_requests(cleveland: Clone, entry: str) -> None:
    (command,) = (line for line in ELSEWHERE if line.startswith(f"{entry} "))
    port = free_port()
    environment = cleveland.environment(HEART_PORT=str(port))
    words = command.replace("8000", str(port)).split()
    url = f"http://127.0.0.1:{port}/ping"
    with a_server(words, cleveland.path, url, **environment) as process:
        service = Service(process, port, cleveland.path)
        wait_for(
            lambda: service.version() and service.serving() == 2, what="a model in each worker"
        )
        done, explained = (
            cleveland.run("bash", "-c", request.replace("8000", str(port))).succeeded()
            for request in requests_of_the_pages()
        )
    answer, shown = json.loads(done.output), json.loads(README.split("```json")[1].split("```")[0])
    assert answer.keys() == shown.keys()
    # What is shown is the answer of the default model of the real patients.
    assert answer["probability"] == pytest.approx(shown["probability"], abs=0.01)
    for name in ("risk_level", "data_source", "engine"):
        assert answer[name] == shown[name]
    assert answer["model_version"].startswith("registry-v")
    assert json.loads(explained.output)["probability"] == answer["probability"]


def test_the_page_of_the_service_names_every_route_and_no_other(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "service.md").read_text()
    table = page.split("| route | |")[1].split("\n\n")[0]
    named = set(re.findall(r"(/[a-z/.]*)", " ".join(re.findall(r"`([^`]*)`", table))))
    app = create_app({"following": FakeFollowing(tmp_path)})
    rules = {rule.rule for rule in app.url_map.iter_rules()}
    public = {rule for rule in rules if "<" not in rule and not rule.startswith("/docs/")}
    assert named == public
