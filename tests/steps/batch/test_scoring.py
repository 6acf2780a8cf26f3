"""Each row of a file has one row of output, in its place, whatever the cuts fall on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical.codings.definitions import UCI
from clinical.errors import DataError
from clinical.schema import FEATURE_NAMES, FEATURES, Feature
from steps.batch.inputs import divide, find
from steps.batch.scoring import Counts
from tests.clinical.patient_files import SICK_CSV, SICK_UCI, WELL_CSV, WELL_UCI, changed, csv_bytes
from tests.servers import gives, serving
from tests.steps.conftest import Patients, small
from tests.steps.scoring_jobs import score_partitions, stored


@pytest.fixture(scope="module")
def model(sample: Patients, tmp_path_factory: pytest.TempPathFactory) -> Path:
    fitted = small(calibration="sigmoid").fit(*sample)
    return stored(tmp_path_factory.mktemp("stored") / "model", fitted, sample[0])


def scored(path: Path, content: bytes, model: Path, **options: object) -> pd.DataFrame:
    path.write_bytes(content)
    return counted(path, model, **options)[0]


def counted(source: object, model: Path, **options: object) -> tuple[pd.DataFrame, Counts]:
    (file,) = find(str(source))
    return score_partitions(divide([file]), model, **options)


def texts(column: pd.Series[str]) -> list[str | None]:
    return [None if pd.isna(cell) else str(cell) for cell in column]


def with_ids(rows: list[list[object]], ids: list[str] | None = None) -> bytes:
    ids = ids or [str(number) for number in range(len(rows))]
    return csv_bytes([[*row, name] for row, name in zip(rows, ids, strict=True)], "target,id")


ROWS = [changed(SICK_CSV, age=age) for age in range(20, 90)]


@given(
    size=st.integers(40, 400),
    end=st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\r\n\r\n"]),
    start=st.sampled_from([b"", b"\xef\xbb\xbf"]),
    last=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_wherever_a_file_is_cut_each_line_has_its_row(
    tmp_path_factory: pytest.TempPathFactory, model: Path, *, size: int, end: bytes, start: bytes,
    last: bool,
) -> None:  # fmt: skip
    content = with_ids(ROWS).replace(b",40\n", b"\n").replace(b"\n", end)  # one row is ragged
    path = tmp_path_factory.mktemp("cuts") / "p.csv"
    path.write_bytes(start + (content if last else content.rstrip(b"\r\n")))
    (file,) = find(str(path))
    found, counts = score_partitions(divide([file], size), model)
    assert texts(found["id"]) == [*map(str, range(40)), None, *map(str, range(41, 70))]
    assert np.flatnonzero(found["problem"].notna()).tolist() == [40]
    assert counts["rows", "all"] == 70


def test_byte_order_marks_and_decimal_commas_lose_no_row(tmp_path: Path, model: Path) -> None:
    content = csv_bytes([WELL_CSV, SICK_CSV], "target")
    expected = scored(tmp_path / "p.csv", content, model)
    commas = content.replace(b",", b";").replace(b".", b",")
    pd.testing.assert_frame_equal(scored(tmp_path / "p.csv", commas, model), expected)
    uci = b"\xef\xbb\xbf" + csv_bytes([WELL_UCI, SICK_UCI], header=False)
    found = scored(tmp_path / "u.data", uci, model, coding=UCI)
    pd.testing.assert_series_equal(found["probability"], expected["probability"])


def test_risk_levels_begin_where_the_model_says(
    tmp_path: Path, model: Path, sample: Patients
) -> None:
    content = csv_bytes([SICK_CSV, WELL_CSV], "target")
    high, low = scored(tmp_path / "p.csv", content, model)["probability"]
    bands = (("low", 0.0), ("middle", low), ("high", high))
    fitted = small(calibration="sigmoid").fit(*sample)
    other = stored(tmp_path / "model", fitted, sample[0], bands=bands)
    found, counts = counted(tmp_path / "p.csv", other)
    assert found["risk_level"].tolist() == ["high", "middle"]
    assert [counts["level", name] for name, _ in bands] == [0, 1, 1]


def test_a_model_without_onnx_answers_by_scikit_learn(tmp_path: Path, sample: Patients) -> None:
    features, y = sample
    pipeline = small(model="hist_gradient_boosting").fit(features, y)
    model = stored(tmp_path / "model", pipeline, features)
    features.to_csv(tmp_path / "p.csv", index=False)
    found, _ = counted(tmp_path / "p.csv", model)
    np.testing.assert_array_equal(found["probability"], pipeline.predict_proba(features)[:, 1])
    nobody = csv_bytes([changed(WELL_CSV, age=1)], "target")
    assert scored(tmp_path / "q.csv", nobody, model)["probability"].isna().all()


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_wrong_cell_is_told_with_what_was_expected_and_without_its_value(
    tmp_path: Path, model: Path, feature: Feature
) -> None:
    rows = [WELL_CSV, changed(WELL_CSV, **{feature.name: 98765}), SICK_CSV]
    found = scored(tmp_path / "p.csv", csv_bytes(rows, "target"), model)
    assert texts(found["problem"])[1] == f"{feature.name}: {feature.allowed}"
    answers = ["probability", "prediction", "risk_level"]
    assert found[answers].isna().all(axis=1).tolist() == [False, True, False]
    assert found["problem"].isna().tolist() == [True, False, True]


def test_every_fault_of_a_row_is_told_and_rows_of_another_width_keep_their_places(
    tmp_path: Path, model: Path
) -> None:
    bad = changed(WELL_CSV, age="x", chol=5, ca=None)
    lines = with_ids([WELL_CSV, bad, WELL_CSV], ["a", "b", "c"]).splitlines()
    (tmp_path / "p.csv").write_bytes(
        b"\n".join([*lines[:2], b"1,2,3", b" ", lines[2], lines[3] + b",9", b""])
    )
    found, counts = counted(tmp_path / "p.csv", model)
    assert texts(found["id"]) == ["a", None, "b", None]  # a blank line is none
    ragged = "number of columns: 15, as in the first line"
    assert texts(found["problem"]) == [
        None,
        ragged,
        "age: a number in [18, 110] years; chol: a number in [80, 700] mg/dl, or null where it is "
        "unknown",
        ragged,
    ]
    kinds = {"age": 1, "chol": 1, "number of columns": 2}
    assert {name: counts["problem", name] for name in kinds} == kinds
    assert (counts["rows", "all"], counts["rows", "scored"]) == (4, 1)
    only_ragged = scored(tmp_path / "r.csv", lines[0] + b"\n1,2\n3\n", model)
    assert only_ragged["problem"].notna().tolist() == [True, True]


def test_ids_are_texts_as_they_are(tmp_path: Path, model: Path) -> None:
    ids = ['"007"', '"a, b"', "=1+1", "NA", "@x"]
    found = scored(tmp_path / "p.csv", with_ids([WELL_CSV] * 5, ids), model)
    assert texts(found["id"]) == ["007", "a, b", "=1+1", "NA", "@x"]
    frame = pd.DataFrame([WELL_CSV[:13]] * 2, columns=list(FEATURE_NAMES))
    frame.assign(patient_id=[7, 8]).to_parquet(tmp_path / "p.parquet")
    assert texts(counted(tmp_path / "p.parquet", model)[0]["id"]) == ["7", "8"]


def test_a_wide_file_with_columns_of_equal_names_is_read(tmp_path: Path, model: Path) -> None:
    header = ",".join([*FEATURE_NAMES, *["ward"] * 4000])
    row = ",".join([*map(str, WELL_CSV[:13]), *["A longer text"] * 4000])
    found = scored(tmp_path / "w.csv", f"{header}\n{row}\n{row}\n".encode(), model)
    assert found["problem"].isna().tolist() == [True, True]


def test_a_line_that_would_be_taken_for_two_refuses_the_file(tmp_path: Path, model: Path) -> None:
    content = with_ids([WELL_CSV] * 2000) + csv_bytes([WELL_CSV], header=False).rstrip()
    with pytest.raises(DataError, match=r"^'p.csv': lines must end in LF or CR LF"):
        scored(tmp_path / "p.csv", content + b",a\rb\n", model)


def test_parquet_has_numbers_of_any_kind_and_the_answers_are_those_of_the_same_csv(
    tmp_path: Path, model: Path, sample: Patients
) -> None:
    sample[0].to_csv(tmp_path / "p.csv", index=False)
    frame = sample[0].rename(columns=str.upper)
    frame = frame.astype({"AGE": "int8", "SEX": "bool", "CHOL": "float32", "CA": "Int64"})
    frame.to_parquet(tmp_path / "p.parquet", index=False, row_group_size=70)
    one, other = (counted(tmp_path / name, model)[0] for name in ("p.csv", "p.parquet"))
    assert other["problem"].isna().all()
    pd.testing.assert_frame_equal(one.drop(columns="source"), other.drop(columns="source"))


def test_rows_of_another_coding_are_refused_and_one_slip_among_many_is_its_own_problem(
    tmp_path: Path, model: Path
) -> None:
    content = csv_bytes([WELL_CSV] * 20 + [[*SICK_UCI[:13], 0]] * 10, "target")
    with pytest.raises(DataError, match=r"^'p.csv': the rows are not all in one coding"):
        scored(tmp_path / "p.csv", content, model)
    slip = csv_bytes([SICK_CSV] * 300 + [changed(SICK_CSV, cp=4)], "target")
    found = scored(tmp_path / "q.csv", slip, model)
    assert found["problem"].dropna().str.split(":").str[0].tolist() == ["cp"]


def test_a_file_that_is_gone_or_damaged_is_told_in_one_line(tmp_path: Path, model: Path) -> None:
    text, frame = tmp_path / "p.csv", pd.DataFrame([WELL_CSV[:13]] * 70, columns=FEATURE_NAMES)
    frame.to_csv(text, index=False)
    partitions = list(divide(find(str(text))))
    text.unlink()
    line = r"^'p.csv' cannot be read .FileNotFoundError.: it is gone, "
    with pytest.raises(DataError, match=line):
        score_partitions(partitions, model)
    damaged = tmp_path / "d.parquet"
    frame.to_parquet(damaged)
    content = bytearray(damaged.read_bytes())
    content[4:200] = b"\xff" * 196
    damaged.write_bytes(content)
    line = r"^'d.parquet' cannot be read .*: it is gone, damaged or cut off"
    with pytest.raises(DataError, match=line):
        counted(damaged, model)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_file_of_a_web_server_without_parts_is_read_as_a_whole(model: Path, ranges: bool) -> None:
    with serving(gives(csv_bytes(ROWS, "target"), ranges=ranges)) as server:
        (file,) = find(server.url("h.csv"))
        assert len(score_partitions(divide([file]), model)[0]) == 70
        if not ranges:
            line = r"^'h.csv' cannot be read .*, or its store gives no parts"
            with pytest.raises(DataError, match=line):
                score_partitions(divide([file], 1000), model)
