"""What deploy/ holds is what the service is: its requirements, metrics, alerts and unit."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from serving.http.metrics import METRICS
from steps.monitoring.textfile import GAUGES, MODEL
from tests.conftest import ROOT, program
from tests.e2e.backends import a_server
from tests.e2e.conftest import Clone
from tests.serving.service import Service, free_port, running

DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "heart.rules.yml"
CONTAINERFILE = (DEPLOY / "Containerfile").read_text()


def expressions() -> list[str]:
    """Return all queries of the alerts and of the dashboard."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    panels = json.loads((DEPLOY / "grafana" / "heart.json").read_text())["panels"]
    return [rule["expr"] for group in groups for rule in group["rules"]] + [
        target["expr"] for panel in panels for target in panel["targets"]
    ]


def labels(expression: str) -> list[tuple[str, str]]:
    """Return each metric in a query with the labels that are asked of it."""
    asked = re.findall(r"(heart_\w+)(?:\{([^}]*)\})?", expression)
    return [(name, label) for name, text in asked for label in re.findall(r"(\w+)\s*=", text)]


def test_every_metric_and_label_of_alerts_and_dashboard_exists() -> None:
    known: dict[str, set[str]] = {}
    for name, kind, own, _ in METRICS:
        known[name] = set(own)
        if kind == "histogram":
            known[f"{name}_bucket"] = {*own, "le"}
    for name, (_, own) in GAUGES.items():
        known[f"heart_monitor_{name}"] = {*MODEL, *own}
    named = {name for text in expressions() for name in re.findall(r"heart_\w+", text)}
    assert named <= set(known)
    for text in expressions():
        for name, label in labels(text):
            assert label in known[name] | {"instance", "job"}, (name, label)


def test_the_dashboard_shows_every_metric() -> None:
    text = (DEPLOY / "grafana" / "heart.json").read_text()
    assert [name for name, *_ in METRICS if name not in text] == []


def test_the_page_lists_every_alert_and_no_other() -> None:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    alerts = {(rule["alert"], rule["labels"]["severity"]) for g in groups for rule in g["rules"]}
    page = (ROOT / "docs" / "deployment.md").read_text()
    listed = re.findall(r"^\| `(Heart\w+)` \|.*\| (\w+) \|$", page, re.MULTILINE)
    assert set(listed) == alerts


@pytest.mark.parametrize(
    "words", [["check", "rules", "heart.rules.yml"], ["test", "rules", "heart.tests.yml"]]
)
def test_promtool_accepts_the_alerts(words: list[str]) -> None:
    subprocess.run([program("promtool", "prometheus"), *words], cwd=RULES.parent, check=True)


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    words = [program("systemd-analyze", "systemd"), "verify", tmp_path / "heart.service"]
    text = (DEPLOY / "heart.service").read_text()
    # The program must be there; on this machine it is elsewhere.
    there = str(Path(sys.executable).with_name("gunicorn"))
    (tmp_path / "heart.service").write_text(text.replace("/opt/heart/.venv/bin/gunicorn", there))
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_image_is_built_from_what_there_is() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    defaults = re.findall(r"^ARG REQUIREMENTS=(\S+)", CONTAINERFILE, re.MULTILINE)
    built = [service["build"] for service in compose.values() if "build" in service]
    for build in built:
        assert (DEPLOY / build["context"] / build["dockerfile"]).resolve() == (
            DEPLOY / "Containerfile"
        )
    asked = [build.get("args", {}).get("REQUIREMENTS", defaults[0]) for build in built]
    for name in [*asked, *copied()]:
        assert (ROOT / name).exists(), name


def copied() -> list[str]:
    """Return the packages that the image holds."""
    return re.findall(r"^COPY (\w+)/ ", CONTAINERFILE, re.MULTILINE)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what the image holds: an environment and the packages."""
    folder = tmp_path_factory.mktemp("image")
    for package in copied():
        shutil.copytree(ROOT / package, folder / package)
    uv, there = str(Path(sys.executable).with_name("uv")), str(folder / "venv")
    only = ["--only-binary", ":all:", "-r", str(ROOT / "requirements-serve.txt")]
    for words in (["venv", "--python", sys.executable, there],
                  ["pip", "install", "--python", there, *only]):  # fmt: skip
        subprocess.run([uv, *words], cwd=folder, check=True, timeout=1800, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def service(image: Path, cleveland: Clone) -> Iterator[Service]:
    """Run the service as the image does, against a tracking server."""
    port = free_port()
    server = ["mlflow", "server", "--backend-store-uri", cleveland.uri, "--workers", "1",
              "--artifacts-destination", str(image / "artifacts"), "--port", str(port)]  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    command = (str(image / "venv" / "bin" / "gunicorn"), "-c", "serving/gunicorn.conf.py")
    with (
        a_server(server, cleveland.path, f"{url}/health"),
        running(
            image, url, workers=1, command=command, PYTHONPATH="", PATH="/usr/bin:/bin"
        ) as made,
    ):
        yield made


@pytest.mark.slow
def test_the_service_serves_the_champion_with_no_more_than_its_requirements(
    service: Service,
) -> None:
    for path in ("/", "/model", "/model/card.md", "/docs", "/openapi.json", "/version", "/metrics"):
        assert service.ask(path)[0] == 200, path
    status, body = service.ready()
    assert (status, body["source"], body["engine"]) == (200, "alias champion", "onnx")
    assert service.predict()[1]["model_version"] == body["model_version"]
