"""POST /webhooks/mlflow."""

import time
from typing import Any

import pytest
from flask.testing import FlaskClient

from serving.routes.webhooks import sign
from tests.serving.conftest import FakeFollowing, MakeApp

SECRET = "a secret for tests"
BODY = b'{"entity":"model_version_alias","action":"created","data":{"version":"7"}}'


@pytest.fixture
def signed(make_app: MakeApp) -> FlaskClient:
    return make_app(HEART_WEBHOOK_SECRET=SECRET).test_client()


def deliver(
    client: FlaskClient, *, age: float = 0, body: bytes = BODY, secret: str = SECRET,
    signed_body: bytes | None = None, **headers: str,
) -> Any:  # fmt: skip
    stamp = str(int(time.time() - age))
    given = {
        "X-MLflow-Delivery-Id": "d-1",
        "X-MLflow-Timestamp": stamp,
        "X-MLflow-Signature": sign(secret, "d-1", stamp, signed_body or body),
        **headers,
    }
    return client.post("/webhooks/mlflow", data=body, headers=given)


def test_the_signature_is_that_of_mlflow() -> None:
    from mlflow.webhooks.delivery import _generate_hmac_signature

    theirs = _generate_hmac_signature(SECRET, "d-1", "1700000000", BODY.decode())
    assert sign(SECRET, "d-1", "1700000000", BODY) == theirs


def test_a_signed_event_brings_one_look_at_the_registry_whichever_worker_gets_it_again(
    signed: FlaskClient, make_app: MakeApp, following: FakeFollowing
) -> None:
    another = make_app(HEART_WEBHOOK_SECRET=SECRET).test_client()
    for client in (signed, signed, another):
        assert deliver(client).status_code == 204
        assert following.notifications == 1


@pytest.mark.parametrize("change", [
    {"secret": "another"},
    {"signed_body": BODY + b" "},
    *({"X-MLflow-Signature": text} for text in ("", "v1,", "v1,\xe9")),
    *({"X-MLflow-Timestamp": text} for text in ("now", "9" * 400)),
    *({"X-MLflow-Delivery-Id": text} for text in ("", "d-2")),
    *({"age": age} for age in (301, -301, 10**6)),
], ids=range(12))  # fmt: skip
def test_what_is_not_signed_by_the_secret_or_not_fresh_is_refused(
    signed: FlaskClient, following: FakeFollowing, change: dict[str, Any]
) -> None:
    assert deliver(signed, **change).status_code == 401
    assert following.notifications == 0


def test_a_long_body_is_refused(signed: FlaskClient) -> None:
    assert deliver(signed, body=b"x" * (2**20 + 1)).status_code == 413
