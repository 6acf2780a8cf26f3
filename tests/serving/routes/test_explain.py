"""POST /explain: parts that add up to what is served, for what /predict takes, off its path."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings

from clinical.schema import FEATURE_NAMES, FEATURES, Feature
from tests.serving import forge
from tests.serving.conftest import FakeFollowing
from tests.serving.routes.test_predict import post as predict
from tests.serving.routes.test_predict import valid

ROOT = Path(__file__).parents[3]
explain = partial(predict, path="/explain")


@given(valid)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_feature_gets_its_part_and_they_add_up_to_what_predict_says(
    client: FlaskClient, body: dict[str, float | None]
) -> None:
    found, said = explain(client, body).json, predict(client, body).json
    assert found["probability"] == said["probability"]
    assert list(found["contributions"]) == list(found["reference"]) == list(FEATURE_NAMES)
    whole = found["base_probability"] + sum(found["contributions"].values())
    assert whole == pytest.approx(said["probability"], abs=1e-4)
    for name in ("risk_level", "imputed", "warnings", "model_version", "data_source", "engine"):
        assert found[name] == said[name]


@pytest.mark.parametrize("feature", [f for f in FEATURES if f.nullable], ids=lambda f: f.name)
def test_what_is_unknown_moves_nothing_and_is_named(
    client: FlaskClient, patient: Any, feature: Feature
) -> None:
    body = explain(client, patient | {feature.name: None}).json
    assert body["contributions"][feature.name] == 0
    assert body["imputed"] == [feature.name]


@pytest.mark.parametrize("lacking", [
    {"reference": None}, {"reference": {"values": {"age": 54}}},
])  # fmt: skip
def test_a_model_without_a_reference_is_a_problem_that_says_so(
    client: FlaskClient, following: FakeFollowing, patient: Any, lacking: dict[str, Any]
) -> None:
    following.model = forge.knowing(following.model, **lacking)
    answer = explain(client, patient)
    assert answer.status_code == 409
    assert answer.content_type == "application/problem+json"
    assert "reference patient" in answer.json["detail"]
    assert predict(client, patient).status_code == 200


def test_a_reference_that_is_not_what_replaces_the_unknown_explains_nothing(
    client: FlaskClient, following: FakeFollowing, patient: Any
) -> None:
    other = following.model.reference | {"ca": 3.0}
    following.model = forge.knowing(following.model, reference={"values": other})
    assert explain(client, patient).status_code == 200
    assert explain(client, patient | {"ca": None}).status_code == 409


def test_it_is_counted_under_its_route_and_as_no_prediction(
    client: FlaskClient, patient: Any
) -> None:
    explain(client, patient)
    metrics = client.get("/metrics").text
    assert 'heart_requests_total{route="/explain",status="200"} 1.0' in metrics
    assert "heart_predictions_total{" not in metrics


def in_a_process(code: str, folder: Path) -> str:
    """Run statements in a Python of its own, with a model's folder as argument."""
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


SERVICE = """
import json, sys
from pathlib import Path
from clinical.schema import FEATURES
from serving import create_app
from risk_model.model import Origin, load
from tests.serving.conftest import FakeFollowing
model = load(Origin("key", "registry-v3", "alias champion", sys.argv[1]))
following = FakeFollowing(Path(sys.argv[1]), model)
client = create_app({"following": following, "HEART_ACCESS_LOG": ""}).test_client()
patient = {feature.name: feature.example for feature in FEATURES}
"""


# The engine waits in a way that only a real thread can: in a greenlet it would stall the others.
MEANWHILE = """
event, sleep = monkey.get_original("threading", "Event"), monkey.get_original("time", "sleep")
asked, ended = event(), event()
score = model.engine.score
def slow(rows):
    asked.set()
    for _ in range(600):
        if not ended.is_set():
            sleep(0.05)
    return score(rows)
model.engine.score = slow
explaining = gevent.spawn(lambda: client.post("/explain", json=patient).status_code)
while not asked.is_set():
    gevent.sleep(0.01)
statuses = [client.post("/predict", json=patient).status_code for _ in range(5)]
waiting = not explaining.ready()
ended.set()
print(json.dumps([statuses, waiting, explaining.get(timeout=30)]))
"""


def test_a_long_explanation_lets_other_requests_of_the_worker_go_on(model_folder: Path) -> None:
    code = "import gevent\nfrom gevent import monkey\nmonkey.patch_all()\n" + SERVICE + MEANWHILE
    assert json.loads(in_a_process(code, model_folder)) == [[200] * 5, True, 200]
