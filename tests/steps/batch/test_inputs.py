"""What is to be scored is found, laid out and divided without reading it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

from clinical.errors import DataError
from clinical.schema import FEATURE_NAMES
from steps.batch import inputs
from tests.clinical.patient_files import SICK_CSV, SICK_UCI, WELL_CSV, csv_bytes

HEART = csv_bytes([SICK_CSV, WELL_CSV], "target")


def write(path: Path, content: bytes = HEART) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


LABELLED = [*FEATURE_NAMES, "target"]
LONG = ",".join([*LABELLED, *(f"column_{i}" for i in range(9000))]).encode()
BAD = {
    "CR alone": (HEART.replace(b"\n", b"\r"), "lines must end in LF or CR LF"),
    "a header that ends in CR": (HEART.replace(b"\n", b"\r", 1), "lines must end in LF or CR LF"),
    "a long header": (LONG + b"\n" + b"1," * 9013 + b"1\n", "the header within 65536 bytes"),
    "an empty file": (b"", "it is empty"),
    "an id twice": (csv_bytes([[*SICK_CSV, 1, 2]], "target,id,id"), "there twice: id"),
    "without a column": (HEART.replace(b"thalach,", b"").replace(b"150,", b""), "missing: thalach"),
    "another schema": (b"sepal,petal\n1,2\n", "missing: age, .*found none"),
    "no header, other width": (b"1,2,3\n4,5,6\n", "missing: age"),
    "another name": (HEART.replace(b"sex", b"gender"), "missing: sex .*; rename 'gender' to sex"),
    "a column twice": (csv_bytes([[*SICK_CSV, 5]], "target,age"), "there twice: age"),
    "not text": (b"\x00\x01\x02", "neither text in UTF-8 nor Parquet"),
    "blanks": (b" ".join([b"1"] * 14) + b"\n", "divided by commas, semicolons or tabs"),
    "gzip": (gzip.compress(HEART), "packed by gzip: unpack it"),
    "utf-16": (HEART.decode().encode("utf-16"), "UTF-16: save it as UTF-8"),
    "decimal commas": (HEART.replace(b",", b";").replace(b".", b","), "a point before decimals"),
    "arff": (b"@relation heart\n@data\n", "an ARFF file"),
    "cut off": (b"PAR1 and then nothing", "not a complete Parquet file"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_is_none_of_patients_is_named(tmp_path: Path, case: str) -> None:
    content, line = BAD[case]
    with pytest.raises(DataError, match=f"^'file.csv'.*{line}") as refused:
        inputs.find(str(write(tmp_path / "file.csv", content)))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\r"])
def test_a_file_may_be_a_header_alone(tmp_path: Path, end: bytes) -> None:
    header = HEART.partition(b"\n")[0] + end
    (file,) = inputs.find(str(write(tmp_path / "h.csv", header)))
    assert (file.begin, file.size) == (len(header), len(header))


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


def test_of_two_columns_that_may_name_a_patient_the_other_is_not_used(tmp_path: Path) -> None:
    content = csv_bytes([[*SICK_CSV, 7, 5]], "target,patient_id,id")
    (file,) = inputs.find(str(write(tmp_path / "w.csv", content)))
    assert (file.id_column, file.unused) == ("id", ["patient_id"])


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
