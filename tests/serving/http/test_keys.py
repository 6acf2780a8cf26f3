"""Whoever opens the service to others without keys is told so."""

from __future__ import annotations

from typing import Any

import pytest

from serving.http.keys import Keys, warn_if_open
from serving.settings import SettingError, read_settings
from tests.serving.conftest import MakeApp

KEYS = ("0123456789abcdef",)


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
