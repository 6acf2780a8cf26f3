"""What is to be scored is found, laid out and divided without reading it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from clinical.errors import DataError
from clinical.schema import FEATURE_NAMES
from steps import inputs
from tests.clinical.patient_files import SICK_CSV, SICK_UCI, WELL_CSV, csv_bytes

HEART = csv_bytes([SICK_CSV, WELL_CSV], "target")


def write(path: Path, content: bytes = HEART) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def names(source: object) -> list[str]:
    return [file.name for file in inputs.find(str(source))]


def test_a_file_is_called_by_its_name(tmp_path: Path) -> None:
    assert names(write(tmp_path / "heart.csv")) == ["heart.csv"]
    assert names((tmp_path / "heart.csv").as_uri()) == ["heart.csv"]


def test_a_folder_gives_its_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b/2.csv", "a.csv", "b/1.data", "notes.md", ".hidden.csv", "_log/x.csv"):
        write(tmp_path / "in" / name)
    assert names(tmp_path / "in") == ["a.csv", "b/1.data", "b/2.csv"]


def test_a_glob_gives_the_files_that_match(tmp_path: Path) -> None:
    for name in ("in/x/1.csv", "in/y/1.csv", "in/y/2.txt"):
        write(tmp_path / name)
    assert names(tmp_path / "in" / "*" / "*.csv") == ["x/1.csv", "y/1.csv"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path: Path) -> None:
    write(tmp_path / "a1.csv")
    assert names(write(tmp_path / "a[1].csv")) == ["a[1].csv"]


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("nowhere.csv", "there is no file '.*nowhere.csv'"),
        ("*.csv", r"there is no file '.*\*.csv'"),
        ("empty", "the folder '.*empty' has no file of .csv, "),
        ("nosuch://bucket/x.csv", "'nosuch://bucket/x.csv' cannot be read: Protocol not known"),
    ],
)
def test_nothing_to_read_is_told_in_one_line(tmp_path: Path, source: str, line: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=f"^{line}") as refused:
        inputs.find(source if "://" in source else str(tmp_path / source))
    assert "\n" not in str(refused.value)


BAD = {
    "without a column": (HEART.replace(b"thalach,", b"").replace(b"150,", b""), "missing: thalach"),
    "another schema": (b"sepal,petal\n1,2\n", "missing: age, .*found none"),
    "no header, other width": (b"1,2,3\n4,5,6\n", "missing: age"),
    "two labels": (csv_bytes([[*SICK_CSV, 1]], "target,num"), "more than one label: num, target"),
    "a column twice": (csv_bytes([[*SICK_CSV, 5]], "target,age"), "there twice: age"),
    "not text": (b"\x00\x01\x02", "neither text in UTF-8 nor Parquet"),
    "blanks": (b" ".join([b"1"] * 14) + b"\n", "divided by commas, semicolons or tabs"),
    "cut off": (b"PAR1 and then nothing", "not a complete Parquet file"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_is_none_of_patients_is_named(tmp_path: Path, case: str) -> None:
    content, line = BAD[case]
    with pytest.raises(DataError, match=f"^'file.csv'.*{line}") as refused:
        inputs.find(str(write(tmp_path / "file.csv", content)))
    assert "\n" not in str(refused.value)


def test_parquet_must_hold_numbers(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    frame = pd.DataFrame([SICK_CSV[:13]], columns=list(FEATURE_NAMES))
    frame.assign(age="sixty").to_parquet(path)
    with pytest.raises(DataError, match=r"^'p.parquet': expected numbers in age, found text"):
        inputs.find(str(path))


def test_an_empty_file_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="empty"):
        inputs.find(str(write(tmp_path / "e.csv", b"")))


def test_columns_of_no_meaning_are_told_and_an_id_is_known(tmp_path: Path) -> None:
    content = csv_bytes([[*SICK_CSV, 7, 5]], "target,Patient_ID,ward")
    (file,) = inputs.find(str(write(tmp_path / "w.csv", content)))
    assert file.id_column == "patient_id"
    assert file.unused == ["ward"]


def test_a_uci_file_without_a_header_begins_with_its_first_byte(tmp_path: Path) -> None:
    content = csv_bytes([SICK_UCI], "num", header=False)
    (file,) = inputs.find(str(write(tmp_path / "u.data", content)))
    assert file.begin == 0
    assert file.layout.names == [*FEATURE_NAMES, "num"]
    (marked,) = inputs.find(str(write(tmp_path / "m.data", b"\xef\xbb\xbf" + content)))
    assert marked.begin == 3


def test_partitions_are_bounded_even_and_leave_nothing_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "TEXT_BYTES", 50)
    (file,) = inputs.find(str(write(tmp_path / "h.csv", csv_bytes([SICK_CSV] * 20, "target"))))
    parts = inputs.divide(file)
    assert parts[0].start == file.begin
    assert parts[-1].stop == file.size
    assert [a.stop for a in parts[:-1]] == [b.start for b in parts[1:]]
    sizes = [part.stop - part.start for part in parts]
    assert max(sizes) <= 50
    assert max(sizes) - min(sizes) <= 1


def test_large_row_groups_are_divided_and_small_ones_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "ROWS", 4)
    path = tmp_path / "p.parquet"
    frame = pd.DataFrame([SICK_CSV[:13]] * 13, columns=list(FEATURE_NAMES))
    frame.to_parquet(path, row_group_size=10)
    (file,) = inputs.find(str(path))
    ranges = [(part.group, part.start, part.stop) for part in inputs.divide(file)]
    assert ranges == [(0, 0, 3), (0, 3, 6), (0, 6, 10), (1, 0, 3)]


def test_the_key_of_a_file_changes_with_it(tmp_path: Path) -> None:
    path = write(tmp_path / "h.csv")
    (before,) = inputs.find(str(path))
    (again,) = inputs.find(str(path))
    assert before.key == again.key
    write(path, HEART + HEART[-40:])
    (after,) = inputs.find(str(path))
    assert after.key != before.key
