"""The prediction log's upkeep: what is old goes, small files are merged, patients are erased."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from risk_model.prediction_log import files
from risk_model.prediction_log.records import PROFILE, ROWS
from serving import erase
from serving.following import upkeep
from tests.risk_model.test_prediction_log import counts, ids, rows


def folder(root: Path, days_ago: int, kind: str = ROWS) -> Path:
    return files.day_folder(root, kind, datetime.now(UTC).date() - timedelta(days=days_ago))


def test_a_day_is_kept_for_as_many_days_as_it_is_said(tmp_path: Path) -> None:
    for kind, table in ((ROWS, rows("a-0")), (PROFILE, counts(5))):
        for days_ago in (0, 1, 2, 3, 400):
            files.write(table, folder(tmp_path, days_ago, kind))
    upkeep.tidy(tmp_path, 3)
    for kind in (ROWS, PROFILE):
        assert len(files.days(tmp_path, kind)) == 3


def test_small_files_of_earlier_days_are_merged_and_of_today_where_there_are_many(
    tmp_path: Path,
) -> None:
    today, yesterday = folder(tmp_path, 0), folder(tmp_path, 1)
    for number in range(upkeep.FILES_A_DAY - 1):
        files.write(rows(f"t{number}-0"), today)
    for number in range(2):
        files.write(rows(f"y{number}-0"), yesterday)
    before = ids(tmp_path)
    upkeep.tidy(tmp_path, 90)
    assert len(list(today.iterdir())) == upkeep.FILES_A_DAY - 1
    assert len(list(yesterday.iterdir())) == 1
    files.write(rows("last-0"), today)
    upkeep.tidy(tmp_path, 90)
    assert len(list(today.iterdir())) == 1
    assert ids(tmp_path) == sorted([*before, "last-0"])


def test_what_a_killed_writer_has_left_is_deleted_and_what_is_being_written_is_not(
    tmp_path: Path,
) -> None:
    files.write(rows("a-0"), folder(tmp_path, 0))
    torn, fresh = (folder(tmp_path, 0) / f".{name}.parquet" for name in ("torn", "fresh"))
    torn.touch()
    fresh.touch()
    long_ago = time.time() - 24 * 3600
    os.utime(torn, (long_ago, long_ago))
    upkeep.tidy(tmp_path, 90)
    assert not torn.exists()
    assert fresh.exists()


def test_one_process_at_a_time_changes_a_log(tmp_path: Path) -> None:
    files.write(rows("a-0"), folder(tmp_path, 400))
    with upkeep.locked(tmp_path, wait=True) as held:
        assert held
        upkeep.tidy(tmp_path, 90)
    assert ids(tmp_path) == ["a-0"]
    upkeep.tidy(tmp_path, 90)
    assert ids(tmp_path) == []


def test_a_patient_is_erased_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEART_PREDICTION_LOG_DIR", str(tmp_path / "log"))
    assert erase.main(["a-0"]) == 1
    assert "No such file or directory" in capsys.readouterr().err
    files.write(rows("a-0", "b-0", "b-1"), folder(tmp_path / "log", 3))
    assert erase.main(["a-0", "b-1", "c-0"]) == 0
    assert capsys.readouterr().out.startswith("2 rows erased.")
    assert ids(tmp_path / "log") == ["b-0"]
    (folder(tmp_path / "log", 3) / "cut.parquet").touch()
    assert erase.main(["a-0"]) == 1
    assert "cut.parquet" in capsys.readouterr().err
