"""What the service says of itself, in answers, metrics and logs."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from serving.http.metrics import METRICS
from serving.settings import SETTINGS, SettingError, read_settings
from tests.serving.conftest import FakeFollowing, MakeApp


@pytest.mark.parametrize(
    "facts",
    [
        {"degraded": False, "problems": [], "notes": []},
        {"degraded": True, "problems": ["registry-v4 ..."], "notes": ["stage ..."]},
    ],
)
def test_ready_names_the_model_and_passes_on_what_went_wrong(
    client: FlaskClient, following: FakeFollowing, facts: dict[str, Any]
) -> None:
    following.facts = facts
    answer = client.get("/ready")
    assert answer.status_code == 200
    served = {"model_version": "registry-v3", "source": "alias champion", "engine": "onnx"}
    assert (served | facts).items() <= answer.get_json().items()


@pytest.mark.parametrize(("facts", "words"), [
    ({}, "Starting"),
    ({"looks": 1}, "mlflow run ."),
    ({"looks": 1, "problems": ["The registry does not answer."]}, "see problems"),
    ({"looks": 1, "problems": ["No such version."], "pinned": True}, "MODEL_URI"),
])  # fmt: skip
def test_without_a_model_ready_says_why(
    client: FlaskClient, following: FakeFollowing, facts: dict[str, Any], words: str
) -> None:
    following.model, following.facts = None, facts
    answer = client.get("/ready")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    detail = answer.get_json()["detail"]
    assert words in detail
    assert ("Nothing has been trained" in detail) == (facts == {"looks": 1})


def test_ping_health_and_version_are_those_of_mlflows_scoring_server(
    client: FlaskClient, following: FakeFollowing
) -> None:
    for path in ("/ping", "/health"):
        answer = client.get(path)
        assert (answer.status_code, answer.text) == (200, "\n")
    assert client.get("/version").text == version("mlflow")
    following.model = None
    assert client.get("/ping").status_code == 404


def test_every_answer_has_security_headers(client: FlaskClient, patient: Any) -> None:
    answers = [
        client.get(path) for path in ("/", "/model", "/ready", "/nowhere", "/static/style.css")
    ]
    answers.append(client.post("/predict", json=patient))
    answers.append(client.post("/predict", json={}))
    for answer in answers:
        assert "unsafe-inline" not in answer.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Request-ID"]
        answer.close()


def test_the_metrics_that_are_listed_are_there_and_no_others(
    client: FlaskClient, patient: Any
) -> None:
    client.post("/predict", json=patient)
    text = client.get("/metrics").text
    found = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE heart_")}
    assert found == {name for name, _, _, _ in METRICS}
    assert 'heart_requests_total{route="/predict",status="200"} 1.0' in text
    assert 'heart_predictions_total{model_version="registry-v3",prediction=' in text


def test_metrics_log_and_errors_hold_no_path_that_a_client_made_up(
    make_app: MakeApp, tmp_path: Path
) -> None:
    log = tmp_path / "access.log"
    client = make_app(HEART_ACCESS_LOG=str(log)).test_client()
    unknown = client.get("/patients/4711?name=smith")
    assert (unknown.status_code, unknown.content_type) == (404, "application/problem+json")
    client.open("/predict", method="BREW")
    text = client.get("/metrics").text + log.read_text() + unknown.text
    assert "4711" not in text
    assert "smith" not in text
    assert "BREW" not in text


def test_each_request_is_one_line_of_json_without_values(
    make_app: MakeApp, tmp_path: Path, patient: Any
) -> None:
    log = tmp_path / "access.log"
    client = make_app(HEART_ACCESS_LOG=str(log)).test_client()
    client.post("/predict", json=patient | {"chol": 241.5}, headers={"X-Request-ID": "r-1"})
    client.get("/ready")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["route"] for line in lines] == ["/predict", "/ready"]
    assert lines[0]["request_id"] == "r-1"
    assert lines[0]["status"] == 200
    assert "241.5" not in log.read_text()


def test_settings_are_cast_and_every_wrong_one_is_named() -> None:
    values = read_settings({}, {"HEART_PORT": "81", "HEART_POLL_SECONDS": "0.5"})
    assert values["HEART_PORT"] == 81
    assert values["HEART_POLL_SECONDS"] == 0.5
    with pytest.raises(SettingError) as caught:
        read_settings({"HEART_PORT": "x"}, {"HEART_WORKERS": "0", "HEART_API_KEYS": "short"})
    assert len(str(caught.value).splitlines()) == 3
    assert "short" not in str(caught.value)


@pytest.mark.parametrize("text", ["80_00", "\u0668\u0660", "8e3", "80 00"])
def test_a_port_is_a_number_in_plain_digits(text: str) -> None:
    with pytest.raises(SettingError, match="HEART_PORT must be an integer"):
        read_settings({}, {"HEART_PORT": text})


def test_every_setting_has_help_and_a_default_that_it_takes() -> None:
    for setting in SETTINGS:
        assert setting.help.endswith(".")
        setting.read(setting.default)
