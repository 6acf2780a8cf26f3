"""Which source `auto` stands for."""

import threading
import time
from pathlib import Path

import pytest

from steps.runs.downloads import read_url
from steps.runs.sources import UCI_DIGEST, resolve_auto, uci_url
from tests.servers import Answers, gives, serving


def test_auto_is_uci_where_a_mirror_answers_or_the_file_is_kept(
    uci_zip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(gives(uci_zip.read_bytes())) as server:
        monkeypatch.setenv("HEART_UCI_URL", server.url())
        assert resolve_auto("auto") == "uci"
        assert server.heads == 1
        read_url(f"{uci_url()}#sha256={UCI_DIGEST}")
    assert resolve_auto("auto") == "uci"


@pytest.mark.parametrize("silent", ["server", "name server"])
def test_auto_is_the_sample_within_seconds_where_nobody_answers(
    monkeypatch: pytest.MonkeyPatch, silent: str
) -> None:
    released = threading.Event()
    monkeypatch.setattr(Answers, "do_HEAD", lambda _: released.wait(60))
    if silent == "name server":
        monkeypatch.setattr("requests.head", lambda *_, **__: released.wait(60))
    with serving(gives(b"")) as server:
        monkeypatch.setenv("HEART_UCI_URL", server.url())
        start = time.monotonic()
        assert resolve_auto("auto") == "sample"
        assert time.monotonic() - start < 30
        released.set()


def test_an_empty_address_of_a_mirror_means_uci_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEART_UCI_URL", "")
    assert uci_url().startswith("https://archive.ics.uci.edu/")
