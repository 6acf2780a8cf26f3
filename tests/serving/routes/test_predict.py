"""POST /predict."""

import json
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clinical.schema import FEATURE_NAMES, FEATURES, Feature
from risk_model.model import Model
from tests.serving import forge
from tests.serving.conftest import FakeFollowing
from tests.serving.service import PATIENT

JSON = "application/json"


def post(
    client: FlaskClient, body: Any, content_type: str | None = JSON, path: str = "/predict",
    **more: Any,
) -> Any:  # fmt: skip
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(path, data=data, content_type=content_type, **more)


answering = pytest.mark.parametrize("path", ["/predict", "/explain"])


@answering
def test_every_bad_field_is_named_at_once_and_no_value_is_repeated(
    client: FlaskClient, patient: Any, path: str
) -> None:
    body = patient | {"age": True, "sex": "98765.25", "chol": 98765.25, "cp": [98765.25],
                      "surname": "x", "98765.25": 98765.25}  # fmt: skip
    del body["thal"]
    answer = post(client, body, path=path)
    assert (answer.status_code, answer.content_type) == (422, "application/problem+json")
    pointers = {error["pointer"] for error in answer.json["errors"]}
    assert pointers == {"/age", "/sex", "/chol", "/cp", "/surname", "/thal", ""}
    assert "0 (asymptomatic), 1 (atypical angina)" in answer.text
    assert "98765" not in answer.text


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_field_holds_a_number_of_its_range_and_nothing_else(
    client: FlaskClient, patient: Any, feature: Feature
) -> None:
    for value in (feature.low, feature.high):
        assert post(client, patient | {feature.name: value}).status_code == 200
    beyond = np.nextafter(feature.low, -1e9), np.nextafter(feature.high, 1e9)
    unknown = [] if feature.nullable else [None]
    for value in (*map(float, beyond), True, False, "1", [], {}, "", [1], 1e308, *unknown):
        answer = post(client, patient | {feature.name: value})
        assert answer.status_code == 422, value
        assert [error["pointer"] for error in answer.json["errors"]] == [f"/{feature.name}"]


REFUSED: list[tuple[int, Any, dict[str, Any]]] = [
    *((400, body, {}) for body in (
        b"", b"{", b"nonsense", b"\xff\xfe", b"[" * 100_000, b'{"age":' * 100_000,
        json.dumps({"age": 54}).encode("utf-16"), b"\xef\xbb\xbf{}",
        b'{"age": ' + b"9" * 100_000 + b"}", b'{"a\\ud800": 1}', b"{} {}", b"{'age': 54}",
        b'{"age": 054}', b'{"age": 54,}',
    )),
    *((422, body, {}) for body in (b"[]", b"null", b"3", b'"x"', b"true")),
    *((422, PATIENT.replace(b"240", number), {}) for number in (
        b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"9" * 400,
    )),
    (422, {f"k{i}": 1 for i in range(60_000)}, {}),
    (413, b" " * (2**20 + 1), {}),
    (415, b"{}", {"headers": {"Content-Encoding": "gzip"}}),
    *((415, b"{}", {"content_type": kind}) for kind in (
        None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
        "application/json; charset=latin-1", "application/json; version=2", "application/jsonx",
    )),
]  # fmt: skip
"""Bodies that hold no patient, with the status of their answers and how they are sent."""


@answering
@pytest.mark.parametrize(("status", "body", "how"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_no_request_is_refused_in_a_few_words(
    client: FlaskClient, path: str, status: int, body: Any, how: dict[str, Any]
) -> None:
    answer = post(client, body, path=path, **how)
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    assert len(answer.data) < 5000


@answering
def test_a_field_named_twice_is_refused(client: FlaskClient, patient: Any, path: str) -> None:
    text = json.dumps(patient)[:-1]
    for second in ('"age": 54', '"\\u0061ge": 54'):
        answer = post(client, f"{text}, {second}}}".encode(), path=path)
        assert answer.status_code == 400
        assert answer.json["errors"][0]["pointer"] == "/age"


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "Application/JSON", 'application/json;charset="UTF-8"'],
)
def test_json_by_another_spelling_is_taken(
    client: FlaskClient, patient: Any, content_type: str
) -> None:
    assert post(client, patient, content_type).status_code == 200


def test_a_value_that_the_model_has_not_seen_brings_a_warning(
    client: FlaskClient, patient: Any
) -> None:
    (warning,) = post(client, patient | {"age": 110}).json["warnings"]
    assert warning["pointer"] == "/age"
    assert "110" not in warning["detail"]
    assert warning["detail"].endswith(": 41 to 87 years.")


FORMAT_1 = {"unknown": {"without": ["ca", "thal"], "roc_auc": 0.86, "ci_low": 0.81, "ci_high": 0.9}}
FORMAT_2 = {"format": 2, "unknown_patterns": forge.unknown_patterns((), ("ca",), ("ca", "thal"))}


@pytest.mark.parametrize(("known", "names", "words"), [
    *((FORMAT_1, names, ["0.86 (0.81 to 0.90)"]) for names in (["ca"], ["thal"], ["ca", "thal"])),
    *((FORMAT_2, names, [figure, "0.91 (0.86 to 0.95) with all findings"])
      for names, figure in ((["ca"], "0.89 ("), (["ca", "thal"], "0.87 ("))),
    # Nobody has measured it, so nothing is said.
    (FORMAT_1, ["chol"], None), ({"unknown": None}, ["ca"], None), (FORMAT_2, ["thal"], None),
])  # fmt: skip
def test_a_warning_says_how_good_the_model_is_without_these_findings_where_that_is_known(
    client: FlaskClient, following: FakeFollowing,
    known: dict[str, Any], names: list[str], words: list[str] | None,
) -> None:  # fmt: skip
    following.model = forge.knowing(following.model, **known)
    body = json.loads(PATIENT) | dict.fromkeys(names)
    warnings = post(client, body).json["warnings"]
    expected = [f"/{name}" for name in names] if words else []
    assert [warning["pointer"] for warning in warnings] == expected
    assert all(word in warning["detail"] for warning in warnings for word in words or ())


def test_how_sure_a_probability_is_stands_beside_it_where_it_was_measured(
    client: FlaskClient, following: FakeFollowing, patient: Any
) -> None:
    before = post(client, patient).json
    assert "refit_range" not in before
    p = before["probability"]
    rows = ((0.0, p - 0.01, 0, 0.1), (p - 0.01, p + 0.01, 0.2, 0.25), (p + 0.01, 1.0, 0.9, 1))
    bins = [
        {"start": start, "end": end, "patients": 30, "low": low, "high": high}
        for start, end, low, high in rows
    ]
    refits = {"count": 25, "level": 0.95, "bins": bins}
    following.model = forge.knowing(following.model, refits=refits)
    low, high = post(client, patient).json["refit_range"]
    # A range holds the probability that it is about.
    assert (low, high) == (pytest.approx(min(0.2, p)), pytest.approx(max(0.25, p)))
    assert post(client, patient, path="/explain").json["refit_range"] == [low, high]
    page = client.post("/", data=patient).text
    assert f"between {100 * low:.0f} and {100 * high:.0f}&nbsp;% (95" in page


def test_a_failure_inside_is_a_500_that_tells_nothing(
    client: FlaskClient, following: FakeFollowing, patient: Any, capfd: Any
) -> None:
    class Broken:
        name = "broken"

        def score_one(self, values: Any) -> Any:
            raise RuntimeError("secret 240")

    following.model = Model(Broken(), following.model.origin, following.model.metadata)  # type: ignore[arg-type]
    answer = post(client, patient)
    assert (answer.status_code, answer.content_type) == (500, "application/problem+json")
    log = capfd.readouterr().err
    assert "RuntimeError" in log
    assert "secret" not in answer.text + log


many = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(
    st.one_of(
        st.binary(),
        json_values.map(lambda value: json.dumps(value).encode()),
        st.fixed_dictionaries(dict.fromkeys(FEATURE_NAMES, json_values)).map(
            lambda value: json.dumps(value).encode()
        ),
    )
)
@many
def test_nothing_a_client_sends_makes_a_500(client: FlaskClient, body: bytes) -> None:
    assert post(client, body).status_code in (200, 400, 422)


def values_of(feature: Feature) -> Any:
    if feature.codes:
        known: Any = st.sampled_from([float(code) for code in feature.codes])
    else:
        known = st.floats(feature.low, feature.high)
    return st.none() | known if feature.nullable else known


valid = st.fixed_dictionaries({feature.name: values_of(feature) for feature in FEATURES})


@given(valid)
@many
def test_every_valid_patient_gets_the_pipelines_probability(
    client: FlaskClient, pipeline: Any, body: dict[str, float | None]
) -> None:
    answer = post(client, dict(sorted(body.items())))  # in no order of the schema
    assert (answer.status_code, answer.content_type) == (200, JSON)
    row = np.array([[body[name] for name in FEATURE_NAMES]], dtype=float)
    # A value that float32 cannot tell from a tree's threshold may go the other way there.
    near = row.astype(np.float32).astype(float)
    expected = (forge.probabilities(pipeline, row)[0], forge.probabilities(pipeline, near)[0])
    assert min(abs(answer.json["probability"] - p) for p in expected) <= 1e-5
    p, diseased = answer.json["probability"], answer.json["prediction"]
    assert diseased == int(p > 0.5)
    assert answer.json["confidence"] == pytest.approx(p if diseased else 1 - p, abs=2e-6)
    assert answer.json["imputed"] == [name for name in FEATURE_NAMES if body[name] is None]
    assert answer.json["model_version"] == "registry-v3"
