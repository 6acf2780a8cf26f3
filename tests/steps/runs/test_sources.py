"""Downloads from servers that cut, stall, refuse, redirect and lie."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from clinical import cohort
from steps import download
from steps.runs import sources
from steps.runs.sources import UCI_DIGEST, UnreachableError, fetch_url
from steps.runs.store import StepError
from tests.servers import Answers, FileServer, closed_port, fails, gives, hangs, serving

CONTENT = bytes(range(256)) * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for less than a user would want to, so that the tests are quick."""
    monkeypatch.setattr(sources, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(sources, "READ_SECONDS", 0.3)
    brief = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / 100))
    monkeypatch.setattr(sources, "time", brief)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "heart.zip"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "work"
    made.mkdir()
    return made


def pinned(server: FileServer, digest: str = DIGEST) -> str:
    return f"{server.url()}#sha256={digest}"


def left_over(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


def test_the_uci_archive_arrives_as_published(uci_zip: Path, target: Path) -> None:
    with serving(gives(uci_zip.read_bytes())) as server:
        fetch_url(pinned(server, UCI_DIGEST), target)
    assert target.read_bytes() == uci_zip.read_bytes()


def test_a_cut_transfer_goes_on_where_it_stopped(uci_zip: Path, target: Path) -> None:
    content = uci_zip.read_bytes()
    with serving(gives(content, cut_first_after=70_000)) as server:
        fetch_url(pinned(server, UCI_DIGEST), target)
    assert target.read_bytes() == content
    first, second = server.ranges
    assert first == ""
    assert 60_000 < int(second.removeprefix("bytes=").removesuffix("-")) <= 70_000


def test_a_line_that_is_cut_again_and_again_gets_further_each_time(
    uci_zip: Path, target: Path
) -> None:
    content = uci_zip.read_bytes()

    def behave(request: Answers, _number: int) -> None:
        gives(content, cut_first_after=40_000)(request, 1)

    with serving(behave) as server:
        fetch_url(pinned(server, UCI_DIGEST), target)
    assert len(server.ranges) <= 5
    assert target.read_bytes() == content


def test_a_server_without_ranges_is_asked_again_from_the_start(target: Path) -> None:
    with serving(gives(CONTENT, cut_first_after=70_000, ranges=False)) as server:
        fetch_url(pinned(server), target)
    assert [bool(asked) for asked in server.ranges] == [False, True]
    assert target.read_bytes() == CONTENT


def test_a_transfer_cut_without_a_digest_is_completed_too(target: Path) -> None:
    target.parent.mkdir()
    with serving(gives(CONTENT, cut_first_after=5)) as server:
        fetch_url(server.url(), target)
    assert target.read_bytes() == CONTENT


def test_a_part_that_begins_elsewhere_is_not_appended(target: Path) -> None:
    target.parent.mkdir()

    def behave(request: Answers, number: int) -> None:
        if number == 1:
            gives(CONTENT, cut_first_after=70_000)(request, 1)
        elif number == 2:
            request.answer(
                206, Content_Length=len(CONTENT) - 10,
                Content_Range=f"bytes 10-{len(CONTENT) - 1}/{len(CONTENT)}",
            )  # fmt: skip
            request.wfile.write(CONTENT[10:])
        else:
            gives(CONTENT)(request, number)

    with serving(behave) as server:
        fetch_url(server.url(), target)
    assert target.read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_thrown_away(target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(CONTENT + b"more")
    with serving(gives(CONTENT)) as server:
        sources._transfer(server.url(), target)
    assert server.ranges == [f"bytes={len(CONTENT) + 4}-", ""]
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("code", [500, 503, 429, 408])
def test_a_busy_server_is_asked_again(
    target: Path, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(fails(code, gives(CONTENT), times=2)) as server:
        fetch_url(pinned(server), target)
    assert len(server.ranges) == 3
    assert target.read_bytes() == CONTENT
    assert f"{code} " in capsys.readouterr().err


@pytest.mark.parametrize("code", [404, 403, 410])
def test_a_refusal_is_told_at_once(target: Path, code: int) -> None:
    with (
        serving(fails(code, gives(CONTENT), times=9)) as server,
        pytest.raises(UnreachableError, match=f"^{re.escape(server.url())} answered {code} "),
    ):
        fetch_url(pinned(server), target)
    assert len(server.ranges) == 1
    assert left_over(target.parent.parent) == []


def test_a_server_that_stays_busy_is_given_up_after_five_attempts(
    target: Path, tmp_path: Path
) -> None:
    with (
        serving(fails(503, gives(CONTENT), times=99)) as server,
        pytest.raises(UnreachableError, match="in 5 attempts: 503 Service Unavailable"),
    ):
        fetch_url(pinned(server), target)
    assert len(server.ranges) == 5
    assert left_over(tmp_path) == []


def test_a_wrong_file_is_refused_with_both_digests_and_left_nowhere(
    target: Path, tmp_path: Path
) -> None:
    other = hashlib.sha256(b"other").hexdigest()
    with serving(gives(b"other")) as server, pytest.raises(StepError) as caught:
        fetch_url(pinned(server), target)
    assert not isinstance(caught.value, UnreachableError)
    assert f"must be {DIGEST}, got {other}" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert left_over(tmp_path) == []


def test_a_second_download_makes_no_request(target: Path) -> None:
    with serving(gives(CONTENT)) as server:
        fetch_url(pinned(server), target)
        fetch_url(pinned(server), target.with_name("again"))
        assert (len(server.ranges), server.heads) == (1, 0)
    fetch_url(pinned(server), target.with_name("without a server"))
    assert target.with_name("without a server").read_bytes() == CONTENT


def test_a_digest_may_be_written_in_capitals(target: Path) -> None:
    with serving(gives(CONTENT)) as server:
        fetch_url(pinned(server, DIGEST.upper()), target)
        fetch_url(pinned(server), target)
    assert len(server.ranges) == 1


def test_a_damaged_cache_is_filled_again(target: Path) -> None:
    with serving(gives(CONTENT)) as server:
        fetch_url(pinned(server), target)
        sources.cached(DIGEST).write_bytes(b"damaged")
        assert not sources.is_cached(DIGEST)
        fetch_url(pinned(server), target)
        assert len(server.ranges) == 2
    assert target.read_bytes() == CONTENT
    assert sources.is_cached(DIGEST)


def test_a_url_without_a_digest_is_asked_each_time(target: Path) -> None:
    target.parent.mkdir()
    with serving(gives(CONTENT)) as server:
        for _ in range(2):
            fetch_url(server.url(), target)
            target.unlink()
        assert len(server.ranges) == 2


def test_a_redirect_is_followed(target: Path) -> None:
    def behave(request: Answers, number: int) -> None:
        if request.path == "/moved.zip":
            gives(CONTENT)(request, number)
        else:
            request.answer(302, Location="/moved.zip", Content_Length=0)

    with serving(behave) as server:
        fetch_url(pinned(server), target)
    assert target.read_bytes() == CONTENT


def test_a_redirect_in_circles_ends(target: Path) -> None:
    def behave(request: Answers, _number: int) -> None:
        request.answer(302, Location=request.path, Content_Length=0)

    with serving(behave) as server, pytest.raises(UnreachableError, match="TooManyRedirects"):
        fetch_url(pinned(server), target)


def test_a_server_that_says_nothing_is_given_up_in_time(target: Path) -> None:
    start = time.monotonic()
    with (
        serving(hangs(1)) as server,
        pytest.raises(UnreachableError, match="in 5 attempts: ReadTimeout"),
    ):
        fetch_url(pinned(server), target)
    assert time.monotonic() - start < 5 * 0.3 + 3


def test_a_server_that_stalls_midway_is_asked_for_the_rest(target: Path) -> None:
    def behave(request: Answers, number: int) -> None:
        if number > 1:
            gives(CONTENT)(request, number)
            return
        request.answer(200, Content_Length=len(CONTENT))
        request.wfile.write(CONTENT[:70_000])
        request.wfile.flush()
        time.sleep(0.6)

    with serving(behave) as server:
        fetch_url(pinned(server), target)
    assert server.ranges[0] == ""
    assert server.ranges[1].startswith("bytes=")
    assert target.read_bytes() == CONTENT


def test_an_address_where_nobody_listens_is_an_error_within_the_attempts(target: Path) -> None:
    address = f"http://127.0.0.1:{closed_port()}/x.zip"
    with pytest.raises(UnreachableError, match=f"{address} could not be downloaded in 5 attempts"):
        fetch_url(f"{address}#sha256={DIGEST}", target)


def test_progress_is_a_plain_line_where_there_is_no_terminal(
    target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(gives(CONTENT)) as server:
        fetch_url(pinned(server), target)
    said = capsys.readouterr().err
    assert said == f"download: {server.url()} ({len(CONTENT)} bytes)\n"


@pytest.mark.parametrize(("url", "name"), [
    ("http://example.org/a/heart%20x.csv?b=c#d", "heart x.csv"),
    ("http://example.org/", "download"),
    ("http://example.org", "download"),
    ("http://example.org/a/..", "download"),
    ("http://example.org/%2e%2e%2fetc%2fpasswd", "passwd"),
    ("http://example.org/a/.", "a"),
])  # fmt: skip
def test_the_name_of_a_download_never_leaves_its_folder(url: str, name: str) -> None:
    assert sources.file_name(url) == name


# --- which source `auto` is ------------------------------------------------------------------


def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEART_UCI_URL", f"http://127.0.0.1:{closed_port()}/heart+disease.zip")


@pytest.fixture
def mirror(uci_zip: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    with serving(gives(uci_zip.read_bytes())) as server:
        monkeypatch.setenv("HEART_UCI_URL", server.url())
        yield server


def test_auto_is_uci_where_a_mirror_answers(mirror: FileServer, folder: Path) -> None:
    assert sources.plan("auto") == "uci"
    source, path = download.fetch("auto", "uci", folder)
    assert source == "uci"
    assert download.origin_of(path, source) == "uci"
    assert mirror.heads == 1


def test_auto_is_the_cache_where_there_is_one_and_asks_nobody(
    mirror: FileServer, folder: Path
) -> None:
    download.fetch("uci", "uci", folder)
    requests = len(mirror.ranges)
    assert sources.plan("auto") == "uci"
    download.fetch("auto", "uci", folder)
    assert (len(mirror.ranges), mirror.heads) == (requests, 0)


@pytest.mark.parametrize("source", ["uci", "sample", "/a/file.csv", "http://example.org/x"])
def test_other_sources_stand_for_themselves(source: str) -> None:
    assert sources.plan(source) == source


def test_auto_with_nobody_there_is_the_sample_at_once_and_says_so_loudly(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unreachable(monkeypatch)
    start = time.monotonic()
    plan = sources.plan("auto")
    source, path = download.fetch("auto", plan, folder)
    assert time.monotonic() - start < 3
    assert (plan, source, download.origin_of(path, source)) == ("sample", "sample", "synthetic")
    said = capsys.readouterr().err
    assert "SYNTHETIC SAMPLE" in said
    assert "without clinical meaning" in said
    assert len(said.splitlines()) >= 5


def test_auto_with_a_server_that_says_nothing_is_the_sample_within_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released = threading.Event()
    monkeypatch.setattr(Answers, "do_HEAD", lambda _: released.wait(10))
    with serving(gives(b"")) as server:
        monkeypatch.setenv("HEART_UCI_URL", server.url())
        start = time.monotonic()
        assert sources.plan("auto") == "sample"
        assert time.monotonic() - start < 2.5
        released.set()


def test_auto_with_a_name_server_that_hangs_is_the_sample_within_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    never = threading.Event()
    monkeypatch.setattr(sources.requests, "head", lambda *_, **__: never.wait(20))
    start = time.monotonic()
    assert sources.plan("auto") == "sample"
    assert time.monotonic() - start < 3
    never.set()


def test_auto_falls_back_when_the_transfer_fails_after_the_first_answer(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(fails(503, gives(b""), times=99)) as server:
        monkeypatch.setenv("HEART_UCI_URL", server.url())
        source, path = download.fetch("auto", sources.plan("auto"), folder)
    assert (source, path.name) == ("sample", download.SAMPLE_NAME)
    said = capsys.readouterr().err
    assert "could not be downloaded in 5 attempts" in said
    assert "SYNTHETIC SAMPLE" in said


def test_uci_asked_for_by_name_never_falls_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreachable(monkeypatch)
    with pytest.raises(UnreachableError, match=r"could not be downloaded .*; give the file itself"):
        download.fetch("uci", sources.plan("uci"), folder)
    assert left_over(folder) == []


@pytest.mark.parametrize("asked", ["auto", "uci"])
def test_a_wrong_archive_is_an_error_and_never_a_fallback(
    asked: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(gives(CONTENT)) as server:
        monkeypatch.setenv("HEART_UCI_URL", server.url())
        with pytest.raises(StepError, match=f"must be {UCI_DIGEST}, got {DIGEST}"):
            download.fetch(asked, sources.plan(asked), folder)
    assert left_over(folder) == []


def test_the_sample_that_was_asked_for_is_no_reason_to_warn(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, path = download.fetch("sample", "sample", folder)
    assert capsys.readouterr().err == ""
    again = folder / "again"
    cohort.write_uci(cohort.draw(download.SAMPLE_ROWS, download.SAMPLE_SEED), again)
    assert path.read_bytes() == again.read_bytes()


def test_the_uci_archive_is_known_by_its_content_wherever_it_comes_from(
    uci_zip: Path, folder: Path
) -> None:
    source, path = download.fetch(str(uci_zip), str(uci_zip), folder)
    assert (source, path) == (str(uci_zip), uci_zip)
    assert download.origin_of(path, source) == "uci"


def test_another_file_is_just_a_file(sample_file: Path) -> None:
    assert download.origin_of(sample_file, str(sample_file)) == "file"


def test_a_file_from_a_url_has_the_name_that_the_url_gives_it(folder: Path) -> None:
    with serving(gives(b"1,2,3\n")) as server:
        source, path = download.fetch(
            server.url("a/my%20heart.csv"), server.url("a/my%20heart.csv"), folder
        )
    assert path == folder / "my heart.csv"
    assert source == server.url("a/my%20heart.csv")
