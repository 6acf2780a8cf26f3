"""The prediction log's bins, and its files while others write, merge, cut and erase."""

from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from clinical.schema import FEATURES
from risk_model.measurements import Baseline, Histogram
from risk_model.prediction_log import files
from risk_model.prediction_log.records import (
    PROBABILITY,
    PROFILE,
    ROWS,
    SCHEMA,
    UNKNOWN,
    bins_of,
    count,
    default_folder,
    place,
    profile_schema,
    rows_schema,
)

NAN = float("nan")
DAY = date(2026, 11, 26)


def rows(*ids: str, **columns: list[Any]) -> pa.Table:
    """Return rows of the log with these ids, and null but for the columns given."""
    given = {"id": list(ids), **columns}
    empty = [None] * len(ids)
    return pa.table({name: given.get(name, empty) for name in rows_schema().names}, rows_schema())


def counts(*numbers: int) -> pa.Table:
    table = {"model_version": "registry-v1", "variable": "age", "bin": 2}
    columns = {name: [value] * len(numbers) for name, value in table.items()}
    return pa.table({**columns, "count": list(numbers)}, profile_schema())


def ids(root: Path) -> list[str]:
    log = files.read(root, ROWS)
    assert log.problems == []
    return sorted(log.table["id"].to_pylist())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return files.day_folder(tmp_path, ROWS, DAY)


@pytest.mark.parametrize(
    ("bins", "values", "expected"),
    [
        (Histogram(edges=(50.0, 60.0), counts=(0, 0, 0)), [49.9, 50, 60, NAN], [0, 1, 2, UNKNOWN]),
        (Histogram(codes=(1, 2, 3), counts=(0, 0, 0)), [3, 1, 7, NAN], [2, 0, UNKNOWN, UNKNOWN]),
    ],
)  # fmt: skip
def test_a_value_falls_into_the_bin_that_the_baseline_counts_it_in(
    bins: Histogram, values: list[float], expected: list[int]
) -> None:
    assert place(bins, values).tolist() == expected
    found, unknown = count(bins, values)
    assert found.sum() + unknown == len(values)
    assert unknown == expected.count(UNKNOWN)


def test_a_model_without_a_baseline_has_a_bin_for_each_value_that_is_possible() -> None:
    bins = bins_of(None)
    assert list(bins) == [*(feature.name for feature in FEATURES), PROBABILITY]
    for feature in FEATURES:
        ends = list(feature.codes) or [feature.low, feature.high]
        placed = place(bins[feature.name], ends).tolist()
        assert (placed[0], placed[-1]) == (0, len(bins[feature.name].counts) - 1)


def test_the_bins_are_those_of_the_model_unless_they_are_for_another_log() -> None:
    own = {**bins_of(None), PROBABILITY: Histogram(edges=(0.3,), counts=(1, 2))}
    probability = own.pop(PROBABILITY)
    known = Baseline(log_schema=SCHEMA, patients=3, features=own, probability=probability)
    assert bins_of(known)[PROBABILITY].edges == (0.3,)
    later = known.model_copy(update={"log_schema": SCHEMA + 1})
    assert bins_of(later) == bins_of(None)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HEART_PREDICTION_LOG_DIR": "/var/log/heart", "XDG_STATE_HOME": "/s"}, "/var/log/heart"),
        ({"XDG_STATE_HOME": "/state"}, "/state/heart-disease-model/predictions"),
    ],
)
def test_service_and_monitor_find_the_same_folder(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], expected: str
) -> None:
    for name in ("HEART_PREDICTION_LOG_DIR", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, environ.get(name, ""))
    assert default_folder() == Path(expected)


def test_days_are_read_up_to_the_last_with_their_date(tmp_path: Path) -> None:
    for day in (24, 25, 26):
        files.write(rows(f"{day}-0"), files.day_folder(tmp_path, ROWS, DAY.replace(day=day)))
    (tmp_path / "rows" / "date=yesterday").mkdir()
    log = files.read(tmp_path, ROWS, last=DAY.replace(day=25))
    assert log.table.select(["date", "id"]).to_pylist() == [
        {"date": DAY.replace(day=24), "id": "24-0"},
        {"date": DAY.replace(day=25), "id": "25-0"},
    ]
    assert files.read(tmp_path / "nowhere", PROFILE).table.num_rows == 0


def test_a_file_that_is_cut_or_of_another_log_is_named_and_the_rest_is_read(folder: Path) -> None:
    whole = files.write(rows("a-0"), folder)
    (folder / "cut.parquet").write_bytes(whole.read_bytes()[:-20])
    (folder / "empty.parquet").touch()
    (folder / ".being-written.parquet").touch()
    for name, table, schema in (("later", rows("b-0"), "2"), ("other", counts(5), "1")):
        other = table.replace_schema_metadata({"log_schema": schema})
        pa.parquet.write_table(other, folder / f"{name}.parquet")
    log = files.read(folder.parents[1], ROWS)
    assert log.table["id"].to_pylist() == ["a-0"]
    assert len(log.problems) == 4
    for name, words in {"cut": "found none", "later": "found 2", "other": "columns"}.items():
        assert [words in line for line in log.problems if f"{name}.parquet" in line] == [True]
    # Nor are they merged: they stay, and are named again.
    files.write(rows("c-0"), folder)
    files.merge(folder, ROWS, 2)
    merged = files.read(folder.parents[1], ROWS)
    assert sorted(merged.table["id"].to_pylist()) == ["a-0", "c-0"]
    assert merged.problems == log.problems
    assert len(files.current_files(folder)) == 5


@pytest.mark.parametrize("crash", [False, True])
def test_what_is_merged_is_read_once_also_after_a_crash_before_the_old_files_were_deleted(
    folder: Path, crash: bool
) -> None:
    old = [files.write(rows(f"{name}-0"), folder) for name in "abc"]
    if crash:
        files.write(rows("a-0", "b-0"), folder, [path.name for path in old[:2]])
    else:
        files.merge(folder, ROWS, 2)
    assert ids(folder.parents[1]) == ["a-0", "b-0", "c-0"]
    files.merge(folder, ROWS, 2)
    assert ids(folder.parents[1]) == ["a-0", "b-0", "c-0"]
    assert len(list(folder.iterdir())) == 1


def test_counts_of_a_bin_are_added_up_when_files_are_merged(tmp_path: Path) -> None:
    folder = files.day_folder(tmp_path, PROFILE, DAY)
    files.write(counts(5, 6), folder)
    files.write(counts(7), folder)
    files.merge(folder, PROFILE, 2)
    assert files.read(tmp_path, PROFILE).table["count"].to_pylist() == [18]


def test_erasing_takes_rows_by_either_id_and_leaves_no_file_with_them(folder: Path) -> None:
    files.write(rows("a-0", "a-1", request_id=["theirs", None]), folder)
    only = files.write(rows("b-0"), folder)
    assert files.erase(folder.parents[1], ["theirs", "b-0", "nobody"]) == (2, [])
    assert ids(folder.parents[1]) == ["a-1"]
    assert not only.exists()
    assert b"a-0" not in b"".join(path.read_bytes() for path in folder.iterdir())


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "rows").touch()
    with pytest.raises(NotADirectoryError):
        files.write(rows("a-0"), files.day_folder(tmp_path, ROWS, DAY))
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]
