"""The folders of running services."""

import os
import time
from pathlib import Path

import pytest

from serving.following.state import SILENT_SECONDS, State, instance_state, write_json

NO_PROCESS = 2**22 + 1  # above the most that Linux counts to


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("_HEART_STATE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "heart-disease-model" / "services"


def test_a_file_that_cannot_be_replaced_stays_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    (tmp_path / "status.json" / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        write_json(tmp_path / "status.json", {})
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


def test_a_service_of_this_process_has_a_folder_of_its_own_and_keeps_it(services: Path) -> None:
    first = instance_state(os.getpid())
    assert first.folder.parent == services
    os.utime(first.folder, (0, 0))
    assert instance_state(os.getpid()).folder == first.folder
    assert first.load_failures.is_dir()


@pytest.mark.parametrize(("name", "seconds_ago", "stays"), [
    (f"{NO_PROCESS}-1", SILENT_SECONDS + 60, False),
    (f"{os.getpid()}-1", SILENT_SECONDS + 60, False),
    (f"{NO_PROCESS}-1", 60, True),
], ids=["is no more", "its number is another process's", "of another container"])  # fmt: skip
def test_services_that_are_no_more_are_swept_up(
    services: Path, name: str, seconds_ago: float, stays: bool
) -> None:
    folder = State(services / name).make().folder
    write_json(folder / "status.json", {})
    then = time.time() - seconds_ago
    os.utime(folder, (then, then))
    instance_state(os.getpid())
    assert folder.exists() is stays
