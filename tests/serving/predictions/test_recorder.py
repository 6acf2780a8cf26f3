"""What becomes of predictions after their answers: the log in both forms, and the shadow."""

import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient

from clinical.schema import FEATURE_NAMES, FEATURES
from risk_model.model import Model, Origin
from risk_model.prediction_log import files
from risk_model.prediction_log.records import PROBABILITY, PROFILE, ROWS, SMALLEST
from tests.serving import forge
from tests.serving.conftest import FakeFollowing, MakeApp

Patient = dict[str, Any]
LABEL = '{challenger_version="registry-v4"}'
TYPED = {feature.name: f"{feature.example:g}" for feature in FEATURES}


def challenger(model: Model | None, probability: float | None, seconds: float = 0.0) -> Model:
    """Return a challenger that says the same of everybody, or fails, after a time."""

    def score(rows: forge.Rows) -> forge.Rows:
        time.sleep(seconds)
        if probability is None:
            raise RuntimeError("the engine broke")
        return np.full(len(rows), probability)

    assert model is not None
    origin = Origin("other", "registry-v4", "alias challenger")
    return Model(forge.Engine(score), origin, model.metadata)


def finish(app: Flask) -> None:
    """Do at once what is otherwise done in spare time."""
    app.extensions["heart"].recorder.finish()


def rows(folder: Path) -> list[dict[str, Any]]:
    log = files.read(folder, ROWS)
    assert log.problems == []
    return sorted(log.table.to_pylist(), key=lambda row: str(row["id"]))


def metric(client: FlaskClient, name: str) -> dict[str, float]:
    """Return the values of the metrics whose names begin so, by what tells them apart."""
    lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith(name)]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


@pytest.fixture
def log_rows(make_app: MakeApp, tmp_path: Path) -> MakeApp:
    """Return a function that makes an app which keeps the rows of its patients."""
    return partial(make_app, HEART_PREDICTION_LOG=ROWS, HEART_PREDICTION_LOG_DIR=str(tmp_path))


def instances(count: int, **known: float) -> dict[str, Any]:
    values = [[known.get(f.name, f.example) for f in FEATURES]] * count
    return {"instances": values}


def test_all_three_routes_are_logged_with_the_findings_as_they_were_sent(
    log_rows: MakeApp, patient: Patient, tmp_path: Path
) -> None:
    app = log_rows()
    client = app.test_client()
    sent = patient | {"chol": None, "thal": None, "age": 61.5}
    theirs = {"X-Request-ID": "theirs"}
    answer = client.post("/predict", json=sent, headers=theirs).json
    again = client.post("/predict", json=patient, headers=theirs).json
    batch = client.post("/invocations", json=instances(2))
    page = client.post("/", data=TYPED | {"ca": "unknown"})
    finish(app)
    by_id = {row["id"]: row for row in rows(tmp_path)}
    assert len(by_id) == 5
    one = by_id[answer["prediction_id"]]
    assert [one[name] for name in FEATURE_NAMES] == list(sent.values())
    assert one["imputed"] == ["chol", "thal"] == answer["imputed"]
    assert one["probability"] == pytest.approx(answer["probability"], abs=1e-6)
    assert (one["request_id"], one["model_version"]) == ("theirs", "registry-v3")
    assert one["prediction"] == answer["prediction"]
    assert one["challenger_version"] is one["challenger_probability"] is None
    assert abs(one["timestamp"].timestamp() - time.time()) < 60
    assert one["date"] == one["timestamp"].date()
    assert by_id[again["prediction_id"]]["request_id"] == "theirs"  # with an id of its own
    many = [by_id[f"{batch.headers['X-Prediction-ID']}-{number}"] for number in range(2)]
    assert [row["prediction"] for row in many] == batch.json["predictions"]
    assert [(row["request_id"], row["imputed"]) for row in many] == [(None, [])] * 2
    (typed,) = [row for row in by_id.values() if row["ca"] is None]
    assert typed["id"] in page.text


@pytest.mark.parametrize("kind", ["off", PROFILE])
def test_where_no_rows_are_kept_no_answer_has_an_id_and_no_file_a_patient(
    make_app: MakeApp, patient: Patient, tmp_path: Path, kind: str
) -> None:
    app = make_app(HEART_PREDICTION_LOG=kind, HEART_PREDICTION_LOG_DIR=str(tmp_path))
    client = app.test_client()
    for _ in range(2 * SMALLEST):
        assert "prediction_id" not in client.post("/predict", json=patient).json
    assert "X-Prediction-ID" not in client.post("/invocations", json=instances(1)).headers
    assert "Id of this prediction" not in client.post("/", data=TYPED).text
    finish(app)
    assert not (tmp_path / ROWS).exists()
    assert (tmp_path / PROFILE).exists() is (kind == PROFILE)


def test_a_count_is_written_once_it_is_five_and_none_is_smaller(
    make_app: MakeApp, tmp_path: Path
) -> None:
    app = make_app(HEART_PREDICTION_LOG=PROFILE, HEART_PREDICTION_LOG_DIR=str(tmp_path))
    client = app.test_client()
    for ages in ([40.0] * 4, [40.0], [40.0] * 4 + [80.0] * 9, [40.0]):
        for age in ages:
            client.post("/invocations", json=instances(1, age=age))
        finish(app)
    written = files.read(tmp_path, PROFILE).table.to_pylist()
    assert min(row["count"] for row in written) >= SMALLEST
    total: Counter[str] = Counter()
    for row in written:
        total[row["variable"]] += row["count"]
    assert set(total) == {*FEATURE_NAMES, PROBABILITY}
    # 40 years ten times, 5 and 5 together, and 80 nine times; of the other findings the last waits.
    assert (total["age"], total["sex"]) == (19, 18)
    assert sorted(r["count"] for r in written if r["variable"] == "age") == [5, 5, 9]


def test_more_than_can_wait_is_answered_dropped_and_counted(
    log_rows: MakeApp, tmp_path: Path
) -> None:
    app = log_rows()
    client = app.test_client()
    found = client.post("/invocations", json=instances(20_007))
    assert len(found.json["predictions"]) == 20_007
    finish(app)
    assert len(rows(tmp_path)) == 20_000
    assert list(metric(client, "heart_prediction_log_dropped_total").values()) == [7]
    assert "7 predictions of this worker are missing" in client.get("/ready").json["notes"][0]


def test_the_challenger_is_asked_about_patients_who_have_their_answers(
    log_rows: MakeApp, model: Model, following: FakeFollowing, patient: Patient, tmp_path: Path
) -> None:
    app = log_rows(HEART_SHADOW=1)
    client = app.test_client()
    assert client.get("/ready").json["challenger_version"] is None
    client.post("/predict", json=patient)
    finish(app)
    following.challenger = challenger(model, 0.97)
    patients = {"instances": forge.patients(50, unknown=0).tolist()}
    answers = client.post("/invocations", json=patients).json["predictions"]
    finish(app)
    alone, *asked = sorted(rows(tmp_path), key=lambda row: row["timestamp"])
    assert alone["challenger_version"] is alone["challenger_probability"] is None
    assert {(r["challenger_version"], r["challenger_probability"]) for r in asked} == {
        ("registry-v4", 0.97)
    }
    assert client.get("/ready").json["challenger_version"] == "registry-v4"
    others = sum(label == 0 for label in answers)
    assert metric(client, "heart_shadow_dis")[f"heart_shadow_disagreements_total{LABEL}"] == others
    differences = [abs(r["challenger_probability"] - r["probability"]) for r in asked]
    found = metric(client, "heart_shadow_difference")
    assert found[f"heart_shadow_difference_sum{LABEL}"] == pytest.approx(sum(differences))
    for bound in ("0.1", "0.5", "1.0", "+Inf"):
        name = f'heart_shadow_difference_bucket{LABEL[:-1]},le="{bound}"}}'
        assert found[name] == sum(each <= float(bound) for each in differences)


@pytest.mark.parametrize(("outcome", "says"), [("failed", (None, 0.0)), ("shed", (0.5, 0.3))])
def test_a_challenger_that_fails_or_is_slow_touches_nothing(
    log_rows: MakeApp, following: FakeFollowing, tmp_path: Path, outcome: str, says: Any
) -> None:
    following.challenger = challenger(following.model, *says)
    app = log_rows(HEART_SHADOW=1)
    client = app.test_client()
    for _ in range(2):
        assert client.post("/invocations", json=instances(40)).status_code == 200
        finish(app)
    assert [row["challenger_probability"] for row in rows(tmp_path)].count(None) >= 40
    found = metric(client, "heart_shadow_predictions_total")
    assert found[f'heart_shadow_predictions_total{LABEL[:-1]},outcome="{outcome}"}}'] >= 40
    assert client.get("/ready").json["notes"] == []


def test_a_share_of_the_patients_is_asked_about(
    log_rows: MakeApp, model: Model, following: FakeFollowing, tmp_path: Path
) -> None:
    following.challenger = challenger(model, 0.9)
    app = log_rows(HEART_SHADOW=0.2)
    patients = forge.patients(3000, unknown=0).tolist()
    app.test_client().post("/invocations", json={"instances": patients})
    finish(app)
    asked = [row for row in rows(tmp_path) if row["challenger_version"]]
    assert 450 < len(asked) < 750  # 600 expected; 22 is a standard deviation
