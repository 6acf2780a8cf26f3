"""Partitions of a file hold each of its rows once, whatever the cuts fall on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical.codings.definitions import UCI
from clinical.errors import DataError
from clinical.schema import FEATURE_NAMES
from steps.batch import inputs, partitions
from steps.batch.inputs import File
from tests.clinical.patient_files import SICK_CSV, WELL_CSV, changed, csv_bytes

ROWS = [changed(SICK_CSV, age=age) for age in range(20, 90)]
HEADER = csv_bytes([], "target")


def written(path: Path, content: bytes) -> File:
    path.write_bytes(content)
    (file,) = inputs.find(str(path))
    return file


def blocks(file: File) -> list[partitions.Block]:
    return [block for part in inputs.divide(file) for block in partitions.read(part)]


def ages(file: File) -> list[float]:
    return [age for block in blocks(file) for age in block.columns["age"].tolist()]


@given(
    most=st.integers(1, 400),
    end=st.sampled_from([b"\n", b"\r\n"]),
    blank=st.booleans(),
    last=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_each_row_is_in_one_partition_and_is_counted_there(
    tmp_path_factory: pytest.TempPathFactory, most: int, end: bytes, blank: bool, last: bool
) -> None:
    content = csv_bytes(ROWS, "target").replace(b"\n", end * (1 + blank))
    content = content if last else content.rstrip(b"\r\n")
    file = written(tmp_path_factory.mktemp("cuts") / "p.csv", content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inputs, "TEXT_BYTES", most)
        parts = inputs.divide(file)
        assert ages(file) == list(range(20, 90))
    read = [sum(block.rows for block in partitions.read(part)) for part in parts]
    assert [partitions.count(part) for part in parts] == read


def test_parquet_in_pieces_of_row_groups_gives_each_row_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "ROWS", 7)
    monkeypatch.setattr(partitions, "BLOCK_ROWS", 5)
    frame = pd.DataFrame([row[:13] for row in ROWS], columns=[n.upper() for n in FEATURE_NAMES])
    frame.to_parquet(tmp_path / "p.parquet", row_group_size=30)
    (file,) = inputs.find(str(tmp_path / "p.parquet"))
    parts = inputs.divide(file)
    assert len(parts) > len(file.groups)
    assert ages(file) == list(range(20, 90))
    assert [partitions.count(part) for part in parts] == [
        sum(block.rows for block in partitions.read(part)) for part in parts
    ]


@pytest.mark.parametrize("word", ["", "?", "NA", " ?", "null", "NaN"])
def test_words_for_unknown_are_no_numbers_and_no_faults(tmp_path: Path, word: str) -> None:
    rows = [changed(SICK_CSV, ca=word), changed(SICK_CSV, thal="x", chol=word)]
    clean, careful = (
        blocks(written(tmp_path / f"{n}.csv", csv_bytes(rows[:n], "target")))[0] for n in (1, 2)
    )
    assert np.isnan(clean.columns["ca"][0])
    assert clean.bad == {}
    np.testing.assert_array_equal(np.isnan(careful.columns["ca"]), [True, False])
    np.testing.assert_array_equal(np.isnan(careful.columns["chol"]), [False, True])
    assert careful.bad.keys() == {"thal"}


@pytest.mark.parametrize("word", ["abc", "1_0", "0x10", "1e", "--1", "1,5", "½"])
def test_what_is_no_number_marks_its_cell_and_the_others_are_read(
    tmp_path: Path, word: str
) -> None:
    rows = [WELL_CSV, changed(SICK_CSV, oldpeak=f'"{word}"'), WELL_CSV]
    (block,) = blocks(written(tmp_path / "p.csv", csv_bytes(rows, "target")))
    np.testing.assert_array_equal(block.bad["oldpeak"], [False, True, False])
    assert block.bad.keys() == {"oldpeak"}
    np.testing.assert_array_equal(block.columns["age"], [41, 63, 41])
    np.testing.assert_array_equal(block.columns["oldpeak"], [1.4, np.nan, 1.4])


def test_rows_of_another_width_are_marked_where_they_stand(tmp_path: Path) -> None:
    lines = csv_bytes([WELL_CSV, SICK_CSV, WELL_CSV], "target,id").splitlines()
    lines = [lines[0], lines[1] + b",a", b"1,2,3", lines[2] + b",b", lines[3] + b",c,9"]
    (block,) = blocks(written(tmp_path / "p.csv", b"\n".join(lines)))
    np.testing.assert_array_equal(block.bad[""], [False, True, False, True])
    np.testing.assert_array_equal(block.columns["age"], [41, np.nan, 63, np.nan])
    assert block.ids.to_pylist() == ["a", None, "b", None]


def test_ids_are_texts_as_they_are(tmp_path: Path) -> None:
    lines = csv_bytes([WELL_CSV, SICK_CSV], "target,id").splitlines()
    content = b"\n".join([lines[0], lines[1] + b',"007"', lines[2] + b',"a, b"'])
    (block,) = blocks(written(tmp_path / "p.csv", content))
    assert block.ids.to_pylist() == ["007", "a, b"]
    frame = pd.DataFrame([WELL_CSV[:13]] * 2, columns=list(FEATURE_NAMES)).assign(id=[7, 8])
    frame.to_parquet(tmp_path / "p.parquet")
    (file,) = inputs.find(str(tmp_path / "p.parquet"))
    assert blocks(file)[0].ids.to_pylist() == ["7", "8"]


def test_parquet_holds_numbers_of_any_kind(tmp_path: Path) -> None:
    frame = pd.DataFrame([row[:13] for row in (SICK_CSV, WELL_CSV)], columns=list(FEATURE_NAMES))
    kinds = {"age": "int8", "sex": "bool", "chol": "float32", "ca": "Int64", "cp": "category"}
    frame = frame.astype(kinds)
    frame.loc[1, "ca"] = pd.NA
    frame.drop(columns="cp").assign(cp=[0, 1]).to_parquet(tmp_path / "p.parquet")
    (file,) = inputs.find(str(tmp_path / "p.parquet"))
    (block,) = blocks(file)
    assert {cells.dtype for cells in block.columns.values()} == {np.dtype(np.float64)}
    np.testing.assert_array_equal(block.columns["sex"], [1, 0])
    np.testing.assert_array_equal(block.columns["ca"], [2, np.nan])


def test_a_quoted_line_break_is_refused_rather_than_counted_wrong(tmp_path: Path) -> None:
    lines = csv_bytes([WELL_CSV], "target,id").splitlines()
    file = written(tmp_path / "p.csv", b"\n".join([lines[0], lines[1] + b',"a\nb"']) + b"\n")
    with pytest.raises(DataError, match=r"^'p.csv': a quoted cell holds a line break"):
        blocks(file)


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "TEXT_BYTES", 100)
    file = written(tmp_path / "p.csv", csv_bytes([WELL_CSV], "target") + b"7" * 200_000)
    with pytest.raises(DataError, match=r"^'p.csv' has a line of more than 65536 characters"):
        blocks(file)


def test_a_file_that_became_shorter_is_refused_rather_than_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "TEXT_BYTES", 1000)
    content = csv_bytes(ROWS, "target")
    file = written(tmp_path / "p.csv", content)
    (tmp_path / "p.csv").write_bytes(content[:1530])  # in the middle of a line
    for part in inputs.divide(file)[1:]:
        for look in (partitions.count, lambda part: list(partitions.read(part))):
            with pytest.raises(DataError, match=r"^'p.csv' is shorter than it was"):
                look(part)


@pytest.mark.parametrize("look", [partitions.count, lambda part: list(partitions.read(part))])
@pytest.mark.parametrize("error", [PermissionError("Access Denied"), RuntimeError("63 years\n...")])
def test_what_a_store_says_no_with_becomes_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: Callable[[Any], object], error: Exception
) -> None:
    def refuse(*_: object) -> None:
        raise error

    (part,) = inputs.divide(written(tmp_path / "p.csv", csv_bytes(ROWS, "target")))
    monkeypatch.setattr(File, "fetch", refuse)
    with pytest.raises(DataError, match=r"^'p.csv' cannot be read: .*its store fails") as refused:
        look(part)
    assert str(refused.value).endswith(f"({type(error).__name__})")


def test_a_file_that_is_gone_or_damaged_is_told_in_one_line(tmp_path: Path) -> None:
    text = written(tmp_path / "p.csv", csv_bytes(ROWS, "target"))
    (tmp_path / "p.csv").unlink()
    with pytest.raises(DataError, match=r"^'p.csv' is not there any more, or not in reach"):
        blocks(text)
    with pytest.raises(DataError, match=r"^'p.csv' is not there any more, or not in reach"):
        partitions.count(inputs.divide(text)[0])
    frame = pd.DataFrame([row[:13] for row in ROWS], columns=list(FEATURE_NAMES))
    frame.to_parquet(tmp_path / "d.parquet")
    (file,) = inputs.find(str(tmp_path / "d.parquet"))
    content = bytearray((tmp_path / "d.parquet").read_bytes())
    content[4:200] = b"\xff" * 196
    (tmp_path / "d.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"^'d.parquet' cannot be read: damaged or cut off"):
        blocks(file)


def test_evidence_of_a_coding_is_counted_over_all_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "BLOCK_ROWS", 10)
    silent = changed(WELL_CSV, cp=2, thal=3)
    rows = [*[silent] * 25, *[changed(silent, cp=0)] * 9]
    (part,) = inputs.divide(written(tmp_path / "p.csv", csv_bytes(rows, "target")))
    evidence = partitions.count_evidence(part)
    assert (evidence.rows, evidence.foreign(UCI)) == (34, 9)
