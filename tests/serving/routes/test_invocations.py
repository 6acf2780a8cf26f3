"""POST /invocations against MLflow's own scoring functions."""

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from flask.testing import FlaskClient

from clinical.schema import FEATURE_NAMES
from risk_model.model import Origin, load
from tests.serving import forge
from tests.serving.conftest import FakeFollowing

JSON = "application/json"


@pytest.fixture(scope="module")
def rows() -> Any:
    return forge.patients(50, seed=5, unknown=0.2)


@pytest.fixture(scope="module")
def expected(rows: Any, pipeline: Any) -> list[int]:
    return [int(p > 0.5) for p in forge.probabilities(pipeline, rows)]


def listed(rows: Any) -> list[list[float | None]]:
    return [[None if np.isnan(v) else v for v in row] for row in rows]


def invoke(client: FlaskClient, body: Any, content_type: str = JSON) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post("/invocations", data=data, content_type=content_type)


def bodies(rows: Any) -> dict[str, Any]:
    data, names = listed(rows), list(FEATURE_NAMES)
    records = [dict(zip(names, row, strict=True)) for row in data]
    whole = [[int(v) if v is not None and v % 1 == 0 else v for v in row] for row in data]
    split = {"columns": names, "data": data}
    further = {"columns": [*names, "x"], "data": [[*row, 1] for row in data]}
    backwards = {"columns": names[::-1], "data": [row[::-1] for row in data]}
    return {
        "split": {"dataframe_split": split},
        "split with index": {"dataframe_split": split | {"index": list(range(len(data)))}},
        "other order": {"dataframe_split": backwards},
        "further column": {"dataframe_split": further},
        "integers": {"dataframe_split": {"columns": names, "data": whole}},
        "records": {"dataframe_records": records},
        "instances": {"instances": records},
        "inputs": {"inputs": records},
        "columns": {"inputs": {name: [row[i] for row in data] for i, name in enumerate(names)}},
        "with params": {"dataframe_records": records, "params": {"x": 1}},
    }


NAMES = ",".join(FEATURE_NAMES)
NOT_JSON: list[Any] = [
    b"", b"{", b"[]", b"3", {},
    {"dataframe_split": {}, "inputs": []},
    {"dataframe_split": []},
    {"dataframe_split": {"columns": ["age"], "data": [[1]]}},
    {"dataframe_split": {"data": [[1, 2]]}},
    {"dataframe_split": {"columns": list(FEATURE_NAMES), "data": [[1] * 12]}},
    {"dataframe_split": {"columns": list(FEATURE_NAMES), "data": [["1"] * 13]}},
    {"dataframe_split": {"columns": list(FEATURE_NAMES), "data": []}},
    {"dataframe_split": {"columns": list(FEATURE_NAMES), "data": {"a": 1}}},
    {"dataframe_split": {"columns": 13, "data": [[1] * 13]}},
    {"dataframe_split": {"columns": [[]] * 13, "data": [[1] * 13]}},
    {"dataframe_split": {"columns": ["age"] * 14, "data": [[1] * 14]}},
    {"dataframe_records": {"age": 1}},
    {"dataframe_records": [{"age": 1}]},
    {"dataframe_records": [1]},
    {"instances": "x"},
    {"instances": [[{}] * 13]},
    {"inputs": {name: [1] for name in FEATURE_NAMES} | {"age": [1, 2]}},
    {"inputs": 3},
    {"inputs": [], "signature_name": "x"},
    {"instances": [[10**400] * 13]},
    {"instances": [[1] * 12 + [1e39]]},
    {"instances": [[1] * 12 + [-(10**300)]]},
    b'{"instances": [[1,1,1,1,1,1,1,1,1,1,1,1,Infinity]]}',
]  # fmt: skip
NOT_CSV = [
    "", "\xff", "age\n1", '"', "age,sex\n1", f"{NAMES}\n{'x,' * 12}x", f"{NAMES},age\n{'1,' * 13}1",
    *(f"{NAMES}\n{number}{',1' * 11},{gap}"
      for number in ("5_4", "\u0665\u0664", "\uff15\uff14", "0x36") for gap in ("1", "")),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "body"), [
    *((JSON, body) for body in NOT_JSON),
    *(("text/csv", text.encode("latin-1" if text == "\xff" else "utf-8")) for text in NOT_CSV),
], ids=range(len(NOT_JSON) + len(NOT_CSV)))  # fmt: skip
def test_what_cannot_be_scored_is_a_400(client: FlaskClient, kind: str, body: Any) -> None:
    answer = invoke(client, body, kind)
    assert answer.status_code == 400, answer.text
    assert answer.content_type == "application/problem+json"


# --- a model of format 2 gets what `mlflow models serve` answers for it --------------------------


@pytest.fixture(params=[1, 2], ids=["format 1", "format 2"])
def answered(
    request: Any, client: FlaskClient, expected: list[int], answers: Any
) -> tuple[FlaskClient, list[Any]]:
    """Return a client of a service with a model of each format, and what it is to answer."""
    if request.param == 1:
        return client, expected
    return request.getfixturevalue("new"), answers


@pytest.mark.parametrize("form", list(bodies(forge.patients(1))))
def test_every_format_of_a_body_is_answered(
    answered: tuple[FlaskClient, list[Any]], rows: Any, form: str
) -> None:
    answer = invoke(answered[0], bodies(rows)[form])
    assert answer.status_code == 200, answer.text
    assert answer.json == {"predictions": answered[1]}


@pytest.mark.parametrize("separator", ["\n", "\r\n"])
def test_csv_is_answered(
    answered: tuple[FlaskClient, list[Any]], rows: Any, separator: str
) -> None:
    frame = forge.framed(rows)
    for made in (frame, frame[frame.columns[::-1]], frame.assign(name="x, y")):
        body = made.to_csv(index=False, lineterminator=separator).encode()
        answer = invoke(answered[0], body, "text/csv")
        assert answer.json == {"predictions": answered[1]}, answer.text


@pytest.fixture
def new(client: FlaskClient, following: FakeFollowing, new_folder: Path) -> FlaskClient:
    """Return a client of a service whose model is of format 2."""
    following.model = load(Origin(version="registry-v4", directory=str(new_folder)))
    return client


@pytest.fixture(scope="module")
def answers(rows: Any, new_folder: Path) -> Any:
    """Return what MLflow itself answers."""
    frame = forge.framed(rows)
    return mlflow.pyfunc.load_model(str(new_folder)).predict(frame).to_dict("records")


@pytest.mark.parametrize(("wrong", "words"), [
    ({"cp": 4, "thal": 7}, "'cp' must be one of 0 (asymptomatic)"),
    ({"age": 98765}, "'age' must be a number in [18, 110] years (row 2)."),
    ({"age": None}, "'age' must not be unknown (row 2)."),
    ({"sex": True}, "not a number"),
])  # fmt: skip
def test_an_impossible_value_is_refused_with_its_row_and_without_itself(
    new: FlaskClient, patient: Any, wrong: dict[str, Any], words: str
) -> None:
    answer = invoke(new, {"dataframe_records": [patient, patient | wrong]})
    assert answer.status_code == 400
    assert words in answer.json["detail"]
    assert "98765" not in answer.text


@pytest.mark.parametrize("unknown", [0.05, 0.0])
@pytest.mark.parametrize("count", [999, 1001, 10_000])
def test_each_of_many_patients_gets_their_own_answer(
    new: FlaskClient, pipeline: Any, count: int, unknown: float
) -> None:
    """Without a gap, CSV is read in compiled code."""
    rows = forge.patients(count, seed=3, unknown=unknown)
    split = {"dataframe_split": {"columns": list(FEATURE_NAMES), "data": listed(rows)}}
    csv = forge.framed(rows).to_csv(index=False).encode()
    for body, kind in ((split, JSON), (csv, "text/csv; charset=utf-8")):
        found = [each["probability"] for each in invoke(new, body, kind).json["predictions"]]
        np.testing.assert_allclose(found, forge.probabilities(pipeline, rows), atol=1e-5)


def test_format_1_scores_what_it_is_given_as_it_always_did(
    client: FlaskClient, patient: Any
) -> None:
    answer = invoke(client, {"dataframe_records": [patient | {"age": 987, "cp": 9}]})
    assert set(answer.json["predictions"]) <= {0, 1}
