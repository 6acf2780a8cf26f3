"""The log under bad conditions: it fails no request, holds none up, and tells what it lost."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from serving.http.log import AccessLog
from serving.settings import SettingError
from tests.conftest import need
from tests.serving.conftest import MakeApp


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make standard output a pipe, and return the end that is read."""
    read, write = os.pipe()
    with os.fdopen(write, "w") as stdout:
        monkeypatch.setattr("sys.__stdout__", stdout)
        yield read
    os.close(read)


def write(log: AccessLog, request_id: str = "r-1") -> bool:
    return log.write(request_id, "POST", "/predict", 200, 0.001)


def test_a_disk_that_was_full_for_a_while_costs_its_lines_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(str(path))
    assert write(log, "before")
    real = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda descriptor, content: real(descriptor, content[:20]))
        assert not write(log)

        def refuse(*_: Any) -> int:
            raise OSError(28, "No space left on device")

        full.setattr(os, "write", refuse)
        assert not write(log)
        assert not write(log)
    assert write(log, "after")
    assert write(log, "later")
    lines = path.read_text().splitlines()
    torn = lines.pop(1)
    assert len(torn) == 20
    told = [json.loads(line) for line in lines]
    assert [line.get("request_id") for line in told] == ["before", None, "after", "later"]
    assert told[1]["event"] == "log.gap"
    assert told[1]["lines_lost"] == 3


def test_a_pipe_that_nobody_empties_holds_nobody_up(pipe: int) -> None:
    log = AccessLog("-")
    started = time.monotonic()
    written = [write(log) for _ in range(2000)]
    assert time.monotonic() - started < 60  # .05 s a line would be 100 s
    lost = written.count(False)
    assert 0 < lost < 2000
    os.read(pipe, 2**20)
    assert write(log, "after")
    lines = [json.loads(line) for line in os.read(pipe, 2**20).decode().splitlines()]
    assert [line.get("lines_lost") for line in lines] == [lost, None]
    assert os.get_blocking(pipe)


def test_a_pipe_that_nobody_reads_any_more_fails_no_request(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, patient: Any
) -> None:
    read, gone = os.pipe()
    with os.fdopen(gone, "w") as stdout:
        monkeypatch.setattr("sys.__stdout__", stdout)
        client = make_app(HEART_ACCESS_LOG="-").test_client()
        os.close(read)
        assert client.post("/predict", json=patient).status_code == 200
        assert client.get("/ready").status_code == 200
        assert "heart_log_lines_lost_total 2.0" in client.get("/metrics").text


def test_a_file_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="HEART_ACCESS_LOG must be a file") as found:
        AccessLog(str(tmp_path / "missing" / "access.log"))
    assert "\n" not in str(found.value)


def test_a_link_that_somebody_else_has_planted_is_not_written_through(tmp_path: Path) -> None:
    need(os.geteuid() == 0, "only root may give a link away")
    target, link = tmp_path / "target", tmp_path / "access.log"
    link.symlink_to(target)
    assert write(AccessLog(str(link)))
    before = target.read_bytes()
    os.lchown(link, 12345, 12345)
    with pytest.raises(SettingError, match="link that belongs to somebody else"):
        AccessLog(str(link))
    assert target.read_bytes() == before
