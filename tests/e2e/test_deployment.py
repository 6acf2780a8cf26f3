"""What deploy/ holds is what the service is: its requirements, metrics, alerts and unit."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from serving.http.metrics import METRICS
from steps.monitoring.textfile import GAUGES, MODEL
from tests.conftest import ROOT, program
from tests.e2e.backends import an_mlflow_server
from tests.e2e.clones import Clone
from tests.serving.service import free_port, running

DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "heart.rules.yml"
DASHBOARD = json.loads((DEPLOY / "grafana" / "heart.json").read_text())
ALERTS = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
CONTAINERFILE = (DEPLOY / "Containerfile").read_text()


def test_every_metric_and_label_of_alerts_and_dashboard_exists() -> None:
    known: dict[str, set[str]] = {}
    for name, kind, own, _ in METRICS:
        known[name] = set(own)
        if kind == "histogram":
            known[f"{name}_bucket"] = {*own, "le"}
    for name, (_, own) in GAUGES.items():
        known[f"heart_monitor_{name}"] = {*MODEL, *own}
    queries = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    for query in [*queries, *(rule["expr"] for rule in ALERTS)]:
        for name, labels in re.findall(r"(heart_\w+)(?:\{([^}]*)\})?", query):
            asked = set(re.findall(r"(\w+)\s*=", labels))
            assert asked <= known[name] | {"instance", "job"}, (name, asked)


def test_the_dashboard_shows_every_metric() -> None:
    assert [name for name, *_ in METRICS if name not in str(DASHBOARD)] == []


def test_the_page_lists_every_alert_and_no_other() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text()
    listed = re.findall(r"^\| `(Heart\w+)` \|.*\| (\w+) \|$", page, re.MULTILINE)
    assert set(listed) == {(rule["alert"], rule["labels"]["severity"]) for rule in ALERTS}


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


@pytest.mark.slow
def test_the_service_serves_the_champion_with_no_more_than_its_requirements(
    cleveland: Clone, tmp_path: Path
) -> None:
    """With what the image holds: an environment and the packages, and with a tracking server."""
    image = tmp_path / "image"
    for package in copied():
        shutil.copytree(ROOT / package, image / package)
    uv, there = str(Path(sys.executable).with_name("uv")), str(image / "venv")
    only = ["--only-binary", ":all:", "-r", str(ROOT / "requirements-serve.txt")]
    for words in (["venv", "--python", sys.executable, there],
                  ["pip", "install", "--python", there, *only]):  # fmt: skip
        subprocess.run([uv, *words], cwd=image, check=True, timeout=1800, capture_output=True)
    server = f"mlflow server --backend-store-uri {cleveland.uri} --artifacts-destination {tmp_path}"
    command = (f"{there}/bin/gunicorn", "-c", "serving/gunicorn.conf.py")
    bare = {"PYTHONPATH": "", "PATH": "/usr/bin:/bin"}
    with (
        an_mlflow_server(tmp_path / "server", server, free_port()) as url,
        running(image, url, workers=1, command=command, **bare) as service,
    ):
        for path in (
            "/", "/model", "/model/card.md", "/docs", "/openapi.json", "/version", "/metrics",
        ):  # fmt: skip
            assert service.ask(path)[0] == 200, path
        status, body = service.ready()
        assert (status, body["source"], body["engine"]) == (200, "alias champion", "onnx")
        assert service.predict()[1]["model_version"] == body["model_version"]
