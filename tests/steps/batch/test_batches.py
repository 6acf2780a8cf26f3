"""A partition becomes a part of the output, and a line for each cell that is not valid."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from clinical.errors import DataError
from clinical.schema import FEATURE_NAMES, FEATURES
from steps.batch import batches, inputs, partitions
from steps.batch.batches import REJECT_COLUMNS, Batch, Scored
from steps.batch.engine import Packed
from tests.clinical.patient_files import (
    SICK_CSV,
    SICK_UCI,
    WELL_CSV,
    WELL_UCI,
    changed,
    csv_bytes,
)
from tests.steps.scoring_jobs import forest, packed_from, stored

Patients = tuple[pd.DataFrame, np.ndarray]


@pytest.fixture(scope="module")
def packed(sample: Patients, tmp_path_factory: pytest.TempPathFactory) -> Packed:
    folder = tmp_path_factory.mktemp("model")
    return packed_from(stored(folder, forest(*sample), sample[0]))


def batch_of(path: Path, content: bytes, dialect: str = "canonical", first: int = 1) -> Batch:
    path.write_bytes(content)
    (file,) = inputs.find(str(path))
    (part,) = inputs.divide(file)
    return Batch(part, first, partitions.count(part), dialect, file.id_column is not None)


def table(scored: Scored) -> pd.DataFrame:
    return pq.read_table(io.BytesIO(scored.part)).to_pandas()


def rejects(scored: Scored) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(scored.rejects), REJECT_COLUMNS))


def test_each_row_gets_an_answer_beside_where_it_came_from(tmp_path: Path, packed: Packed) -> None:
    content = csv_bytes([SICK_CSV, WELL_CSV, SICK_CSV], "target")
    scored = batches.score(batch_of(tmp_path / "p.csv", content, first=101), packed)
    found = table(scored)
    assert list(found) == [
        "source", "row", "probability", "prediction", "risk_level", "model_version",
    ]  # fmt: skip
    assert found["source"].tolist() == ["p.csv"] * 3
    assert found["row"].tolist() == [101, 102, 103]
    assert found["model_version"].tolist() == ["registry-v3"] * 3
    assert found["probability"][0] == found["probability"][2] > found["probability"][1]
    np.testing.assert_array_equal(found["prediction"], found["probability"] > 0.5)
    assert scored.rejects == ""
    assert scored.counts["rows"] == 3
    assert scored.counts["rejected"] == 0


def test_risk_levels_begin_where_the_model_says(tmp_path: Path, packed: Packed) -> None:
    content = csv_bytes([SICK_CSV, WELL_CSV], "target")
    batch = batch_of(tmp_path / "p.csv", content)
    high, low = table(batches.score(batch, packed))["probability"]
    cut = replace(packed, bands=(("low", 0.0), ("middle", low), ("high", high)))
    scored = batches.score(batch, cut)
    assert table(scored)["risk_level"].tolist() == ["high", "middle"]
    counts = {k: n for k, n in scored.counts.items() if k.startswith("level.")}
    assert counts == {"level.low": 0, "level.middle": 1, "level.high": 1}


def test_both_codings_of_a_patient_get_the_same_answer(tmp_path: Path, packed: Packed) -> None:
    uci = batch_of(tmp_path / "u.data", csv_bytes([SICK_UCI, WELL_UCI], header=False), "uci")
    csv_ = batch_of(tmp_path / "c.csv", csv_bytes([SICK_CSV, WELL_CSV], "target"))
    one, other = (table(batches.score(b, packed))["probability"] for b in (uci, csv_))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_bad_cell_rejects_its_row_with_its_reason_and_without_its_value(
    tmp_path: Path, packed: Packed, feature: object
) -> None:
    rows = [WELL_CSV, changed(WELL_CSV, **{feature.name: 98765}), SICK_CSV]
    scored = batches.score(batch_of(tmp_path / "p.csv", csv_bytes(rows, "target")), packed)
    assert table(scored)["row"].tolist() == [1, 3]
    assert rejects(scored) == [
        {"source": "p.csv", "row": "2", "id": "", "column": feature.name,
         "expected": feature.allowed}
    ]  # fmt: skip
    assert "98765" not in scored.rejects
    assert (scored.counts["rows"], scored.counts["rejected"]) == (3, 1)


def test_every_fault_of_a_row_is_told_and_the_row_counts_once(
    tmp_path: Path, packed: Packed
) -> None:
    lines = csv_bytes([WELL_CSV, changed(WELL_CSV, age="x", chol=5, ca=None)], "target,id")
    content = b"\n".join(
        line if not i else line + f",p{i}".encode() for i, line in enumerate(lines.splitlines())
    )
    content += b"\n1,2,3\n"
    scored = batches.score(batch_of(tmp_path / "p.csv", content), packed)
    found = [(line["row"], line["id"], line["column"]) for line in rejects(scored)]
    assert found == [("2", "p2", "age"), ("2", "p2", "chol"), ("3", "", "")]
    assert rejects(scored)[2]["expected"] == "15 cells, as many as the file has columns"
    assert scored.counts["rejected"] == 2
    assert table(scored)["id"].tolist() == ["p1"]


def test_neither_an_id_nor_a_file_starts_a_formula_in_the_rejects(
    tmp_path: Path, packed: Packed
) -> None:
    formula = '=HYPERLINK("http://example.org")'
    bad = changed(SICK_CSV, chol="9999999")
    lines = csv_bytes([bad, bad], "target").decode().splitlines()
    cells = (formula.replace('"', '""'), "-4711")
    rows = [f'"{cell}",{line}' for cell, line in zip(cells, lines[1:], strict=True)]
    content = "\n".join([f"id,{lines[0]}", *rows]).encode() + b"\n"
    found = rejects(batches.score(batch_of(tmp_path / "@p.csv", content), packed))
    assert [line["id"] for line in found] == [f"'{formula}", "-4711"]
    assert {line["source"] for line in found} == {"'@p.csv"}


def test_what_may_be_unknown_is_imputed_and_not_rejected(tmp_path: Path, packed: Packed) -> None:
    nullable = {f.name: None for f in FEATURES if f.nullable}
    content = csv_bytes([changed(SICK_CSV, **nullable)], "target")
    scored = batches.score(batch_of(tmp_path / "p.csv", content), packed)
    assert len(table(scored)) == 1


def test_a_partition_without_a_valid_row_gives_an_empty_part_of_the_same_form(
    tmp_path: Path, packed: Packed
) -> None:
    good = batches.score(batch_of(tmp_path / "g.csv", csv_bytes([WELL_CSV], "target")), packed)
    content = csv_bytes([changed(WELL_CSV, age=1)], "target")
    bad = batches.score(batch_of(tmp_path / "b.csv", content), packed)
    one, other = (pq.read_schema(io.BytesIO(s.part)) for s in (good, bad))
    assert one.equals(other)
    assert len(table(bad)) == 0


def test_blocks_follow_each_other_without_a_seam(
    tmp_path: Path, packed: Packed, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [changed(WELL_CSV, age=age if age % 7 else 0) for age in range(20, 90)]
    batch = batch_of(tmp_path / "p.csv", csv_bytes(rows, "target"))
    whole = batches.score(batch, packed)
    for module in (batches, partitions):
        monkeypatch.setattr(module, "BLOCK_ROWS", 9)
    pieces = batches.score(batch, packed)
    pd.testing.assert_frame_equal(table(whole), table(pieces))
    assert whole.rejects == pieces.rejects
    assert whole.counts == pieces.counts


def test_rows_of_another_coding_in_the_middle_are_refused(tmp_path: Path, packed: Packed) -> None:
    content = csv_bytes([WELL_CSV] * 20 + [[*SICK_UCI[:13], 0]] * 10, "target")
    with pytest.raises(DataError, match=r"^'p.csv', rows 5 to 34: the rows are not all in one cod"):
        batches.score(batch_of(tmp_path / "p.csv", content, first=5), packed)


def test_one_slip_among_many_rows_is_a_reject(tmp_path: Path, packed: Packed) -> None:
    content = csv_bytes([SICK_CSV] * 300 + [changed(SICK_CSV, cp=4)], "target")
    scored = batches.score(batch_of(tmp_path / "p.csv", content), packed)
    assert [line["column"] for line in rejects(scored)] == ["cp"]


def test_a_file_that_lost_rows_since_it_was_counted_is_refused(
    tmp_path: Path, packed: Packed
) -> None:
    batch = batch_of(tmp_path / "p.csv", csv_bytes([WELL_CSV] * 3, "target"))
    with pytest.raises(DataError, match="must not change meanwhile"):
        batches.score(replace(batch, rows=4), packed)


def test_parquet_and_csv_of_the_same_patients_get_the_same_answers(
    tmp_path: Path, packed: Packed, sample: Patients
) -> None:
    sample[0].to_csv(tmp_path / "p.csv", index=False)
    sample[0].to_parquet(tmp_path / "p.parquet", index=False)
    found = []
    for name in ("p.csv", "p.parquet"):
        (file,) = inputs.find(str(tmp_path / name))
        (part,) = inputs.divide(file)
        scored = batches.score(Batch(part, 1, len(sample[0]), "canonical", False), packed)
        found.append(table(scored).drop(columns="source"))
    pd.testing.assert_frame_equal(*found)
    assert set(FEATURE_NAMES).isdisjoint(found[0])
