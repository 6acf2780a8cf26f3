"""Downloads from servers that cut, stall, refuse, redirect, lie and never end."""

import hashlib
import re
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from steps.runs.downloads import Limits, UnreachableError, file_name, read_url
from steps.runs.store import StepError
from tests.servers import Answers, FileServer, fails, gives, hangs, serving

CONTENT = bytes(range(256)) * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
# Less than a user would wait for, so that the tests are quick.
SOON = Limits(connect=2, read=1, attempt=3, attempts=3, pause=0.01, size=10_000_000)

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def pinned(server: FileServer, digest: str = DIGEST) -> str:
    return f"{server.url()}#sha256={digest}"


def stalls(request: Answers, number: int) -> None:
    request.answer(200, Content_Length=len(CONTENT))
    request.wfile.write(CONTENT[:70_000])
    request.wfile.flush()
    time.sleep(2)


@pytest.mark.parametrize("first", [
    gives(CONTENT, cut_first_after=70_000), stalls, fails(500, gives(b"")), fails(503, gives(b"")),
    fails(429, gives(b"")), fails(408, gives(b"")),
], ids=["cut", "stall", "500", "503", "429", "408"])  # fmt: skip
def test_a_fault_that_passes_is_got_over(first: Any, capsys: Capture) -> None:
    def behave(request: Answers, number: int) -> None:
        (first if number == 1 else gives(CONTENT))(request, number)

    with serving(behave) as server:
        assert read_url(server.url(), SOON) == CONTENT
    assert len(server.ranges) == 2
    first_line, second_line = capsys.readouterr().err.splitlines()
    assert first_line == f"download: {server.url()}"
    assert second_line.endswith("; attempt 2 of 3")


def wrong_length(length: object) -> Any:
    def behave(request: Answers, _number: int) -> None:
        request.answer(200, Content_Length=length)
        request.wfile.write(CONTENT)
        request.close_connection = True

    return behave


@pytest.mark.parametrize(("behave", "reason"), [
    (fails(503, gives(b""), times=99), "503 Service Unavailable"),
    (hangs(2), "ReadTimeout"),
    (lambda request, _: request.answer(302, Location=request.path), "TooManyRedirects"),
    (lambda request, _: request.answer(302, Location="http://[::1/x"), "InvalidURL"),
    (lambda request, _: request.wfile.write(b"no HTTP at all\r\n\r\n"), "ConnectionError"),
    (wrong_length(len(CONTENT) + 1), "ProtocolError"),
    (wrong_length("1, 2"), "InvalidHeader"),
])  # fmt: skip
def test_a_fault_that_stays_is_given_up_with_one_clear_line(behave: Any, reason: str) -> None:
    with serving(behave) as server, pytest.raises(UnreachableError) as caught:
        read_url(server.url(), SOON)
    assert str(caught.value) == (f"{server.url()} could not be downloaded in 3 attempts: {reason}")


def moves(request: Answers, number: int) -> None:
    if request.path == "/moved.zip":
        gives(CONTENT)(request, number)
    else:
        request.answer(302, Location="/moved.zip", Content_Length=0)


@pytest.mark.parametrize("behave", [wrong_length("many"), wrong_length("-5"), moves])
def test_a_wrong_length_is_not_believed_and_a_redirect_is_followed(behave: Any) -> None:
    with serving(behave) as server:
        assert read_url(server.url(), SOON) == CONTENT


@pytest.mark.parametrize("code", [404, 403, 410])
def test_a_refusal_is_told_at_once(code: int) -> None:
    with (
        serving(fails(code, gives(CONTENT), times=9)) as server,
        pytest.raises(UnreachableError, match=f"^{re.escape(server.url())} answered {code} "),
    ):
        read_url(server.url(), SOON)
    assert len(server.ranges) == 1


def test_a_download_without_an_end_ends() -> None:
    def endless(request: Answers, _number: int) -> None:
        request.answer(200)
        while True:
            request.wfile.write(CONTENT)

    with serving(endless) as server, pytest.raises(StepError) as caught:
        read_url(server.url(), SOON)
    assert str(caught.value).startswith(f"{server.url()} gives more than 10 MB; give the file")


def test_a_server_that_trickles_is_given_up() -> None:
    def trickles(request: Answers, _number: int) -> None:
        request.answer(200, Content_Length=10**6)
        for _ in range(30):
            request.wfile.write(b"x")
            request.wfile.flush()
            time.sleep(0.2)

    start = time.monotonic()
    with serving(trickles) as server, pytest.raises(UnreachableError, match=r": Timeout$"):
        read_url(server.url(), SOON._replace(attempt=1, attempts=2))
    assert time.monotonic() - start < 30


def test_a_wrong_file_is_refused_with_both_digests_and_left_nowhere(tmp_path: Path) -> None:
    other = hashlib.sha256(b"other").hexdigest()
    with serving(gives(b"other")) as server, pytest.raises(StepError) as caught:
        read_url(pinned(server), SOON)
    assert not isinstance(caught.value, UnreachableError)
    assert f"must be {DIGEST}, got {other}" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_file_with_a_digest_is_kept_and_fetched_again_where_it_is_damaged(
    tmp_path: Path,
) -> None:
    with serving(gives(CONTENT)) as server:
        assert read_url(pinned(server, DIGEST.upper()), SOON) == CONTENT
        assert read_url(pinned(server), SOON) == CONTENT
        assert (len(server.ranges), server.heads) == (1, 0)
        (kept,) = (path for path in tmp_path.rglob(DIGEST))
        kept.write_bytes(b"damaged")
        assert read_url(pinned(server), SOON) == CONTENT
        assert len(server.ranges) == 2
        assert read_url(pinned(server), SOON) == kept.read_bytes() == CONTENT
        # Without a digest, it is asked for each time.
        assert [read_url(server.url(), SOON) for _ in range(2)] == [CONTENT] * 2
    assert len(server.ranges) == 4


def test_a_cache_that_cannot_be_written_to_is_told_and_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    cache = tmp_path / "own" / "heart-disease-model"
    cache.mkdir(parents=True)
    (cache / "downloads").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    with serving(gives(CONTENT)) as server:
        assert read_url(pinned(server), SOON) == CONTENT
    assert "download: not kept for the next time: File exists" in capsys.readouterr().err


@pytest.mark.parametrize("inside", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "[::1]"])
def test_a_public_server_may_not_redirect_inside(
    inside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The public server is reached by way of a proxy, as none may be from a test."""
    real = socket.getaddrinfo

    def resolve(host: Any, *more: Any, **how: Any) -> Any:
        return real("8.8.8.8" if host == "public.example" else host, *more, **how)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    def behave(request: Answers, _number: int) -> None:
        request.answer(302, Location=f"http://{inside}/secret", Content_Length=0)

    with serving(behave) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_port}")
        monkeypatch.setenv("no_proxy", "")
        with pytest.raises(UnreachableError) as caught:
            read_url("http://public.example/heart.zip", SOON)
    assert "http://public.example/heart.zip redirects to an address inside: " in str(caught.value)
    assert len(proxy.ranges) == 1


@pytest.mark.parametrize(("url", "name"), [
    ("http://example.org/a/heart%20x.csv?b=c#d", "heart x.csv"),
    ("http://example.org/", "download"),
    ("http://example.org", "download"),
    ("http://example.org/a/..", "download"),
    ("http://example.org/%2e%2e%2fetc%2fpasswd", "passwd"),
    ("http://example.org/a/.", "a"),
])  # fmt: skip
def test_the_name_of_a_download_never_leaves_its_folder(url: str, name: str) -> None:
    assert file_name(url) == name
