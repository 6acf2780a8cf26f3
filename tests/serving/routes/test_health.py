"""What the service says of itself, in answers, metrics and logs."""

import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from serving.settings import SettingError, read_settings
from tests.serving.conftest import FakeFollowing, MakeApp


@pytest.mark.parametrize("facts", [
    {"degraded": False, "problems": [], "notes": []},
    {"degraded": True, "problems": ["registry-v4 ..."], "notes": ["stage ..."]},
])  # fmt: skip
def test_ready_names_the_model_and_passes_on_what_went_wrong(
    client: FlaskClient, following: FakeFollowing, facts: dict[str, Any]
) -> None:
    following.facts = facts
    answer = client.get("/ready")
    served = {"model_version": "registry-v3", "source": "alias champion", "engine": "onnx"}
    assert answer.status_code == 200
    assert (served | facts).items() <= answer.get_json().items()


@pytest.mark.parametrize(("facts", "words"), [
    ({}, "Starting"),
    ({"looks": 1}, "Nothing has been trained yet: run `mlflow run .`"),
    ({"looks": 1, "problems": ["The registry does not answer."]}, "What was found cannot be"),
    ({"looks": 1, "problems": ["No such version."], "pinned": True}, "The model that MODEL_URI"),
])  # fmt: skip
def test_without_a_model_ready_says_why(
    client: FlaskClient, following: FakeFollowing, facts: dict[str, Any], words: str
) -> None:
    following.model, following.facts = None, facts
    answer = client.get("/ready")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert answer.get_json()["detail"].startswith(words)


def test_each_request_is_one_line_of_json_without_what_a_client_made_up(
    make_app: MakeApp, tmp_path: Path, patient: Any
) -> None:
    log = tmp_path / "access.log"
    client = make_app(HEART_ACCESS_LOG=str(log)).test_client()
    client.post("/predict", json=patient | {"chol": 241.5}, headers={"X-Request-ID": "r-1"})
    client.get("/ready")
    for bad in ('quote"', "x" * 200, ""):
        made = client.get("/ping", headers={"X-Request-ID": bad}).headers["X-Request-ID"]
        assert len(made) == 16
        assert made.isalnum()
    unknown = client.get("/patients/4711?name=smith")
    assert (unknown.status_code, unknown.content_type) == (404, "application/problem+json")
    client.open("/predict", method="BREW")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["route"] for line in lines][:2] == ["/predict", "/ready"]
    assert (len(lines), lines[0]["request_id"], lines[0]["status"]) == (7, "r-1", 200)
    text = client.get("/metrics").text + log.read_text() + unknown.text
    assert not [word for word in ("241.5", "4711", "smith", "BREW") if word in text]


def test_settings_are_cast_and_every_wrong_one_is_named() -> None:
    values = read_settings({}, {"HEART_PORT": "81", "HEART_POLL_SECONDS": "0.5"})
    assert (values["HEART_PORT"], values["HEART_POLL_SECONDS"]) == (81, 0.5)
    with pytest.raises(SettingError) as caught:
        read_settings({"HEART_PORT": "x"}, {"HEART_WORKERS": "0", "HEART_API_KEYS": "short"})
    assert len(str(caught.value).splitlines()) == 3
    assert "short" not in str(caught.value)
    for text in ("80_00", "\u0668\u0660", "8e3", "80 00", "65536"):
        with pytest.raises(SettingError, match="HEART_PORT must be an integer"):
            read_settings({}, {"HEART_PORT": text})


def test_an_empty_setting_is_one_that_is_not_given_but_for_the_log() -> None:
    values = read_settings({}, {"HEART_PORT": "", "HEART_ACCESS_LOG": ""})
    assert (values["HEART_PORT"], values["HEART_ACCESS_LOG"]) == (8000, "")


def test_without_a_model_each_route_says_so_and_what_was_typed_is_kept(
    client: FlaskClient, following: FakeFollowing, patient: Any
) -> None:
    following.model = None
    bodies = {"/predict": patient, "/explain": patient, "/invocations": {"inputs": [patient]}}
    for path, body in bodies.items():
        answer = client.post(path, json=body)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        assert answer.json["detail"] == "Model not loaded. Service unavailable."
    for path, status in (("/", 200), ("/model", 503)):
        page = client.get(path)
        assert page.status_code == status
        assert "<code>mlflow run .</code>" in page.text
    form = client.post("/", data=patient)
    assert form.status_code == 503
    assert "Model not loaded" in form.text
    assert 'value="240"' in form.text
    assert "No model yet" in client.get("/monitor").text
    assert client.get("/ping").status_code == 404


def test_more_than_the_limit_at_once_is_a_503(make_app: MakeApp) -> None:
    answer = make_app(HEART_MAX_CONCURRENCY=0).test_client().get("/ready")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
