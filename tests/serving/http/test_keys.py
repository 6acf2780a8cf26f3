"""Whoever opens the service to others without keys is told so."""

from typing import Any

import pytest

from serving.http.keys import Keys, warn_if_open
from serving.settings import SettingError, read_settings
from tests.serving.conftest import MakeApp

KEYS = ("0123456789abcdef", "fedcba9876543210")


def test_no_other_key_opens_the_service() -> None:
    keys = Keys(("0123456789abcde?",))
    assert keys.accepts("0123456789abcde?")
    for other in ("0123456789abcde\u20ac", "0123456789abcde\udcff", "0123456789abcde"):
        assert not keys.accepts(other)


def test_a_key_that_a_header_cannot_hold_is_refused() -> None:
    with pytest.raises(SettingError, match="ASCII"):
        read_settings({"HEART_API_KEYS": "\u20ac" * 16})


@pytest.mark.parametrize(("address", "open_"), [
    *((address, True) for address in ("0.0.0.0", "::", "10.1.2.3", "heart.example.org")),
    *((address, False)
      for address in ("127.0.0.1", "127.8.8.8", "::1", "localhost", "", "/run/x")),
])  # fmt: skip
def test_an_address_that_others_reach_is_warned_about(
    address: str, open_: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    warn_if_open([address], KEYS)
    assert capfd.readouterr().err == ""
    warn_if_open([address], ())
    said = capfd.readouterr().err
    assert ("HEART_API_KEYS" in said and address in said) is open_
    assert bool(said) is open_


def test_a_server_that_was_started_in_another_way_says_it_with_its_first_request(
    make_app: MakeApp, patient: Any, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delenv("_HEART_STATE_DIR", raising=False)
    for keys, times in (("", 1), (KEYS[0], 0)):
        client = make_app(HEART_API_KEYS=keys).test_client()
        for _ in range(2):
            client.post("/predict", json=patient, base_url="http://0.0.0.0")
        assert capfd.readouterr().err.count("open.to.the.network") == times


@pytest.mark.parametrize("protected", ["predictions", "everything"])
def test_what_is_protected_needs_one_of_the_keys(
    make_app: MakeApp, patient: Any, protected: str
) -> None:
    client = make_app(HEART_API_KEYS=",".join(KEYS), HEART_KEYS_FOR=protected).test_client()
    predictions = {"/predict": patient, "/explain": patient, "/invocations": {"inputs": [patient]}}
    for key, status in ((KEYS[1], 200), ("wrong", 403), ("", 401), (None, 401)):
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        for path, body in predictions.items():
            answer = client.post(path, json=body, headers=headers)
            assert answer.status_code == status
            assert ("WWW-Authenticate" in answer.headers) == (status == 401)
        assert client.get("/monitor", headers=headers).status_code == status
        for path in ("/model", "/docs", "/openapi.json", "/metrics"):
            expected = status if protected == "everything" else 200
            assert client.get(path, headers=headers).status_code == expected
        ready = client.get("/ready", headers=headers)
        assert ready.status_code == 200
        assert ("model_version" in ready.json) == (status == 200 or protected == "predictions")
    assert client.get("/nothing").status_code == (401 if protected == "everything" else 404)
    assert 'name="key"' in client.get("/").text
    assert 'name="key"' in client.get("/monitor").text
    form = {name: f"{value:g}" for name, value in patient.items()}
    assert client.post("/", data=form).status_code == 403
    for path in ("/", "/monitor"):
        assert client.post(path, data=form | {"key": "wrong"}).status_code == 403
        answer = client.post(path, data=form | {"key": KEYS[0]})
        assert answer.status_code == 200
        assert KEYS[0] not in answer.text
