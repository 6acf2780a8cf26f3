from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinical.codings.definitions import CODINGS, UCI
from clinical.errors import DataError
from clinical.patients import is_patient_file, read_patients
from clinical.schema import FEATURE_NAMES, FEATURES
from tests.clinical.patient_files import (
    SICK_CSV,
    SICK_UCI,
    WELL_CSV,
    WELL_UCI,
    changed,
    csv_bytes,
    labelled,
    refusal,
    written_in,
)

UCI_FILE = csv_bytes([SICK_UCI, WELL_UCI], header=False)
CSV_FILE = csv_bytes([SICK_CSV, WELL_CSV], "target")
CANONICAL_FILE = csv_bytes([labelled(SICK_CSV, 1), labelled(WELL_CSV, 0)], "disease")
PARQUET = read_patients(CANONICAL_FILE, "x").frame.to_parquet()
SCHEMA_OF_918_ROWS = (
    b"Age,Sex,ChestPainType,RestingBP,Cholesterol,FastingBS,RestingECG,MaxHR,ExerciseAngina,"
    b"Oldpeak,ST_Slope,HeartDisease\n40,M,ATA,140,289,0,Normal,172,N,0,Up,0\n"
)


# --- The real files -----------------------------------------------------------------------------


def test_the_spaced_hungarian_file_holds_the_same_patients(
    members: dict[str, Path | bytes],
) -> None:
    spaced = read_patients(members["reprocessed.hungarian.data"], "reprocessed")
    assert (spaced.coding, spaced.rows) == ("uci", 294)
    # Its ca is 9 once: unknown.
    assert spaced.frame["ca"].notna().sum() == 3
    named = read_patients(members["processed.hungarian.data"], "processed").frame
    known = ["age", "sex", "cp", "exang", "oldpeak"]
    counted = [frame[known].value_counts().to_dict() for frame in (spaced.frame, named)]
    assert counted[0] == counted[1]


@pytest.mark.parametrize(("flip", "cure"), [
    ("target", "rename it to 'disease', in which 1 means disease"),
    ("disease", "rename it to 'target', in which 1 means no disease"),
    ("num", "Write 1 for disease and 0 for none in the column 'num'"),
])  # fmt: skip
def test_a_label_that_points_the_wrong_way_is_refused_with_a_cure_that_is_proven(
    cleveland: pd.DataFrame, flip: str, cure: str
) -> None:
    frame = cleveland.drop(columns="disease")
    if flip == "num":
        frame = written_in(UCI, frame)
    healthy = 1 - cleveland["disease"]
    frame[flip] = 1 - healthy if flip == "target" else healthy
    text = refusal(frame.to_csv(index=False).encode())
    assert "points the wrong way" in text
    assert cure in text


def test_a_few_odd_patients_are_no_proof_of_a_wrong_label() -> None:
    odd = [labelled(SICK_CSV, 1), labelled(WELL_CSV, 0)] * 4
    assert read_patients(csv_bytes(odd, "target"), "odd").rows == 8


# --- Recognition --------------------------------------------------------------------------------


@pytest.mark.parametrize(("content", "coding"), [
    (UCI_FILE, "uci"), (csv_bytes([SICK_UCI, WELL_UCI], "num"), "uci"),
    (CSV_FILE, "heart.csv"), (CANONICAL_FILE, "canonical"),
    # Without a label the codes tell.
    (csv_bytes([SICK_UCI[:-1], WELL_UCI[:-1]]), "uci"),
    (csv_bytes([SICK_CSV[:-1], WELL_CSV[:-1]]), "canonical"),
])  # fmt: skip
def test_the_same_patients_are_the_same_in_every_coding(content: bytes, coding: str) -> None:
    read = read_patients(content, "x")
    expected = pd.DataFrame(
        [labelled(SICK_CSV, 1), labelled(WELL_CSV, 0)], columns=[*FEATURE_NAMES, "disease"]
    ).astype({**dict.fromkeys(FEATURE_NAMES, "float64"), "disease": "int8"})
    assert read.coding == coding
    pd.testing.assert_frame_equal(read.frame, expected[list(read.frame)])
    labels = 0 if content.count(b",", 0, content.index(b"\n")) == 12 else 1
    assert len(read.frame.columns) == 13 + labels


@pytest.mark.parametrize("write", [
    lambda frame: frame.to_parquet(index=False),
    lambda frame: frame.to_csv().encode(),  # with the index
    lambda frame: frame[["disease", *reversed(FEATURE_NAMES)]].to_csv(index=False).encode(),
])  # fmt: skip
def test_a_canonical_frame_is_read_as_it_was_written(
    write: Callable[[pd.DataFrame], bytes],
) -> None:
    frame = read_patients(CANONICAL_FILE, "x").frame
    frame.loc[0, "ca"] = np.nan
    again = read_patients(write(frame), "x")
    assert again.coding == "canonical"
    pd.testing.assert_frame_equal(again.frame, frame)


def test_without_a_label_and_a_telling_code_a_file_is_refused_and_codings_are_offered() -> None:
    row = csv_bytes([changed(WELL_CSV[:-1], cp=2, slope=1, thal=3)])
    text = refusal(row)
    assert "too small to tell its coding" in text
    for coding in ("uci", "canonical", "zero_based"):
        assert f"coding={coding} (" in text
        assert read_patients(row, "x", coding).coding == coding


@pytest.mark.parametrize(("content", "disguised"), [
    (csv_bytes([changed(SICK_UCI, chol=0, trestbps=0, slope=0, ca=-9)], header=False),
     {"trestbps": 1, "chol": 1, "slope": 1, "ca": 1}),
    (csv_bytes([changed(SICK_CSV, ca=4, thal=0, chol=0), WELL_CSV], "target"),
     {"chol": 1, "ca": 1, "thal": 1}),
    (csv_bytes([changed(SICK_CSV, ca=9), WELL_CSV], "target"), {"ca": 1}),
    (csv_bytes([changed(labelled(SICK_CSV, 1), ca=9), WELL_CSV], "disease"), {"ca": 1}),
])  # fmt: skip
def test_disguised_values_become_unknown_and_are_counted(
    content: bytes, disguised: dict[str, int]
) -> None:
    read = read_patients(content, "x")
    assert read.disguised == disguised
    assert read.frame.isna().sum()[lambda n: n > 0].to_dict() == disguised


@pytest.mark.parametrize("word", ["?", "", "NA", "NaN", "nan", "null", " ? ", "-9", "-9.0"])
def test_every_word_for_unknown_is_understood(word: str) -> None:
    content = csv_bytes([changed(SICK_UCI, ca=word), WELL_UCI], header=False)
    frame = read_patients(content, "x").frame
    assert frame["ca"].isna().tolist() == [True, False]


def test_rows_without_a_label_keep_it_unknown() -> None:
    read = read_patients(csv_bytes([SICK_UCI, labelled(WELL_UCI, "?")], header=False), "x")
    assert read.frame["disease"].isna().tolist() == [False, True]


def test_the_inversion_of_the_label_is_said() -> None:
    assert any("1 - target" in words for words in read_patients(CSV_FILE, "x").converted)
    assert any("num > 0" in words for words in read_patients(UCI_FILE, "x").converted)


# --- Refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("content", "words"), [
    (b"", ["empty"]),
    (b"\n \n\t\n", ["empty"]),
    (b"\xef\xbb\xbf\r\n", ["empty"]),
    (csv_bytes([], "target"), ["no row with a patient"]),
    (bytes(range(256)) * 20, ["neither text in UTF-8 nor Parquet"]),
    (b"\x89PNG\r\n\x1a\n\0\0", ["neither text in UTF-8 nor Parquet"]),
    (b"\xff\xfe", ["neither text in UTF-8 nor Parquet"]),
    *((b"1" + b",1" * (width - 1), [f"no header, and {width} columns"])
      for width in (13, 15, 76)),
    (CSV_FILE.replace(b"target", b"target,num").replace(b"3,0\n", b"3,0,1\n"),
     ["more than one label: num, target"]),
    (CSV_FILE.replace(b"sex", b"age"),
     ["age: this column is there twice", "sex: this column is missing"]),
    (CSV_FILE + b"63,1\n" + b"1," * 20 + b"1\n",
     ["number of columns: must be 14 as in the first row; rows 3, 4"]),
    (csv_bytes([SICK_CSV, WELL_CSV], header=False), ["no header means the uci coding"]),
    (csv_bytes([changed(SICK_CSV, thal="fixed"), WELL_CSV, changed(SICK_CSV, thal="normal")],
               "target"), ["thal: must be a number: one of 1 (fixed defect)", "rows 1, 3"]),
    *((csv_bytes([SICK_CSV, changed(WELL_CSV, chol=cell)], "target"),
       ["chol: must be a number", "row 2"])
      for cell in ("abc", "1_0", "0x10", "1;2", "--1", "inf", "1e999", "\u00b2")),
    (csv_bytes([changed(SICK_CSV, age=5)] * 25, "target"),
     ["rows 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 15 more"]),
    # Row numbers count on over the blocks of a large file.
    (csv_bytes([SICK_CSV, WELL_CSV] * 25_000 + [changed(SICK_CSV, age=5)], "target"),
     ["row 50001"]),
    *((PARQUET[:keep], ["not a complete Parquet file"]) for keep in (8, 200, -1)),
    (read_patients(CANONICAL_FILE, "x").frame.assign(chol=2**60 + 1).to_parquet(), ["chol"]),
    (read_patients(CANONICAL_FILE, "x").frame.astype({"thal": str, "sex": str}).to_parquet(),
     ["thal: this column must hold numbers", "sex: this column must hold numbers"]),
    (SCHEMA_OF_918_ROWS, ["'chestpaintype'", "columns missing: cp, trestbps, chol"]),
    *((csv_bytes(rows, label), ["contradict each other", said]) for rows, label, said in (
        ([SICK_CSV, WELL_CSV], "num", "'num' means the uci coding"),
        ([labelled(SICK_UCI, 0), labelled(WELL_UCI, 1)], "target", "means the heart.csv coding"),
        ([labelled(SICK_UCI, 1), WELL_UCI], "disease", "means the canonical coding"),
    )),
], ids=lambda given: given[0] if isinstance(given, list) else "")  # fmt: skip
def test_what_is_no_file_of_patients_is_refused_in_words(content: bytes, words: list[str]) -> None:
    text = refusal(content)
    for part in words:
        assert part in text


def test_all_problems_are_told_at_once_and_no_value_is() -> None:
    rows = [
        changed(SICK_CSV, age=987, sex="male-secret"),
        changed(WELL_CSV, cp=7654, oldpeak=0.5),
        changed(WELL_CSV, age=-654, restecg=0.321),
        labelled(WELL_CSV, 5432),
    ]
    frame = pd.DataFrame(rows, columns=[*FEATURE_NAMES, "target"]).drop(columns="fbs")
    text = refusal(frame.to_csv(index=False).encode())
    assert "fbs: this column is missing" in text
    assert "age: must be a number in [18, 110] years; rows 1, 3" in text
    assert "sex: must be a number: one of 0 (female), 1 (male); row 1" in text
    assert "cp: must be one of 0 (asymptomatic)" in text
    assert "restecg: must be one of" in text
    assert "target: must be one of 0, 1; row 4" in text
    for value in ("987", "secret", "7654", "654", "0.321", "5432"):
        assert value not in text


@pytest.mark.parametrize("feature", FEATURES, ids=lambda f: f.name)
@pytest.mark.parametrize("end", ["low", "high"])
def test_values_beyond_either_end_are_refused_and_the_ends_accepted(
    feature: object, end: str
) -> None:
    name, limit = feature.name, getattr(feature, end)  # type: ignore[attr-defined]
    rest = {"cp": 0} if name != "cp" else {}
    read_patients(csv_bytes([changed(SICK_CSV, **{name: limit}, **rest), WELL_CSV], "target"), "x")
    beyond = limit + (5 if end == "high" else -1.5)
    rows = [SICK_CSV, changed(SICK_CSV, **{name: beyond})]
    assert f"{name}: must be" in refusal(csv_bytes(rows, "target"))


def test_a_missing_file_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_patients(tmp_path / "nothing.csv", "nothing.csv")


def test_files_of_patients_are_known_by_their_columns() -> None:
    assert all(is_patient_file(c) for c in (UCI_FILE, CSV_FILE, CANONICAL_FILE))
    assert is_patient_file(read_patients(CANONICAL_FILE, "x").frame.to_parquet())
    assert not any(is_patient_file(c) for c in (b"", b"\0", b"a,b\n1,2\n", b"PAR1", b"1,2\n"))


def test_all_codings_lead_to_canonical_codes_only() -> None:
    for coding in CODINGS.values():
        for feature in FEATURES:
            assert set(coding.codes_of(feature).values()) == set(feature.codes)
            # Every code keeps its meaning: its words in messages are those of the canonical one.
            assert set(coding.feature(feature).codes.values()) == set(feature.codes.values())
