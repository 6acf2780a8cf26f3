"""POST /explain: parts that add up to what is served, for what /predict takes, off its path."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings

from clinical.schema import FEATURE_NAMES, FEATURES
from tests.serving import forge
from tests.serving.conftest import FakeFollowing
from tests.serving.routes.test_predict import post as predict
from tests.serving.routes.test_predict import valid
from tests.serving.service import PATIENT, ROOT

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


NO_REFERENCE = {"reference": None}
PART_OF_ONE = {"reference": {"values": {"age": 54}}}
# Not what format 1 puts in place of unknown values.
ANOTHER = {"reference": {"values": dict.fromkeys(FEATURE_NAMES, 3.0)}}


@pytest.mark.parametrize(("known", "unknown"), [
    (NO_REFERENCE, []), (PART_OF_ONE, []), (ANOTHER, ["ca"]),
])  # fmt: skip
def test_what_cannot_be_explained_is_a_problem_that_says_so(
    client: FlaskClient, following: FakeFollowing, known: dict[str, Any], unknown: list[str]
) -> None:
    following.model = forge.knowing(following.model, **known)
    body = json.loads(PATIENT) | dict.fromkeys(unknown)
    answer = explain(client, body)
    assert (answer.status_code, answer.content_type) == (409, "application/problem+json")
    assert "reference patient" in answer.json["detail"]
    assert predict(client, body).status_code == 200


def test_what_is_unknown_moves_nothing_by_itself_in_format_1_and_is_named(
    client: FlaskClient, following: FakeFollowing, patient: Any
) -> None:
    names = [feature.name for feature in FEATURES if feature.nullable]
    body = explain(client, patient | dict.fromkeys(names)).json
    assert {body["contributions"][name] for name in names} == {0}
    assert body["imputed"] == names
    following.model = forge.knowing(following.model, **ANOTHER)
    assert explain(client, patient).status_code == 200  # all is known


def test_it_is_counted_under_its_route_and_as_no_prediction(
    client: FlaskClient, patient: Any
) -> None:
    explain(client, patient)
    metrics = client.get("/metrics").text
    assert 'heart_requests_total{route="/explain",status="200"} 1.0' in metrics
    assert "heart_predictions_total{" not in metrics


# The engine waits in a way that only a real thread can: in a greenlet it would stall the others.
MEANWHILE = """
import gevent
from gevent import monkey
monkey.patch_all()
import json, sys
from pathlib import Path
from risk_model.model import Origin, load
from serving import create_app
from tests.serving.conftest import FakeFollowing
from tests.serving.routes.test_predict import post
from tests.serving.service import PATIENT
model = load(Origin("key", "registry-v3", "alias champion", sys.argv[1]))
following = FakeFollowing(Path(sys.argv[1]), model)
client = create_app({"following": following, "HEART_ACCESS_LOG": ""}).test_client()
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
explaining = gevent.spawn(lambda: post(client, PATIENT, path="/explain").status_code)
while not asked.is_set():
    gevent.sleep(0.01)
statuses = [post(client, PATIENT).status_code for _ in range(5)]
waiting = not explaining.ready()
ended.set()
print(json.dumps([statuses, waiting, explaining.get(timeout=30)]))
"""


def test_a_long_explanation_lets_other_requests_of_the_worker_go_on(model_folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEANWHILE, str(model_folder)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [[200] * 5, True, 200]
