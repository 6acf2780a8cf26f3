import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinical.archive import open_source
from clinical.copies import row_hashes
from clinical.errors import DataError
from clinical.preparation import extend, prepare
from clinical.schema import FEATURE_NAMES, FEATURES, REQUIRED
from tests.clinical.patient_files import (
    SICK_UCI,
    WELL_UCI,
    changed,
    csv_bytes,
    labelled,
    require_canonical,
)


def test_cleveland_is_kept_whole(uci_zip: Path) -> None:
    name = "processed.cleveland.data"
    prepared = prepare(open_source(uci_zip)[name], name)
    report = prepared.report
    assert report["rows"] == {"read": 303, "kept": 303}
    assert report["dropped"] == {"repeated": 0, "incomplete": 0, "contradictory": 0}
    assert (report["file"], report["coding"]) == (name, "uci")
    assert report["prevalence"] == {
        "all": {"patients": 303, "diseased": 139, "share": pytest.approx(0.4587, abs=1e-4)},
        "female": {"patients": 97, "diseased": 25, "share": pytest.approx(0.2577, abs=1e-4)},
        "male": {"patients": 206, "diseased": 114, "share": pytest.approx(0.5534, abs=1e-4)},
    }
    assert {n: f["missing"] for n, f in report["features"].items() if f["missing"]} == {
        "ca": 4,
        "thal": 2,
    }


@pytest.mark.parametrize(("rows", "disguised"), [
    (303, {"ca": 5, "thal": 2}), (1025, {"ca": 18, "thal": 7}),
])  # fmt: skip
def test_both_csv_files_leave_the_same_302_patients_of_cleveland_with_the_same_outcome(
    data_dir: Path, cleveland: pd.DataFrame, rows: int, disguised: dict[str, int]
) -> None:
    prepared = prepare(data_dir / f"kaggle_heart_{rows}.csv", "heart.csv")
    assert (prepared.report["coding"], prepared.report["disguised"]) == ("heart.csv", disguised)
    assert prepared.report["rows"] == {"read": rows, "kept": 302}
    assert prepared.report["dropped"]["repeated"] == rows - 302
    assert prepared.frame.index.equals(pd.RangeIndex(302))
    outcomes, known = (
        dict(zip(row_hashes(frame), frame["disease"], strict=True))
        for frame in (prepared.frame, cleveland)
    )
    assert len(outcomes) == 302
    assert outcomes.items() <= known.items()


def test_what_was_prepared_can_be_prepared_again(data_dir: Path, tmp_path: Path) -> None:
    once = prepare(data_dir / "kaggle_heart_1025.csv", "x")
    once.frame.to_parquet(tmp_path / "patients.parquet", index=False)
    again = prepare(tmp_path / "patients.parquet", "patients.parquet")
    pd.testing.assert_frame_equal(again.frame, once.frame)
    assert again.report["rows"] == {"read": 302, "kept": 302}
    assert again.report["converted"] == []
    assert again.report["features"] == once.report["features"]


def test_each_row_is_dropped_for_its_first_reason() -> None:
    rows = [
        SICK_UCI,
        SICK_UCI,  # repeated
        labelled(SICK_UCI, 1),  # repeated: num 3 and num 1 are both disease
        WELL_UCI,
        labelled(WELL_UCI, 2),  # contradicts the one before
        changed(WELL_UCI, age=50),
        changed(WELL_UCI, age=51, trestbps=0),  # incomplete, in disguise
        changed(WELL_UCI, age=52, thalach="?", cp="?"),  # incomplete
        labelled(changed(WELL_UCI, age=53), "?"),  # without a label
        changed(WELL_UCI, age=54, ca="?", chol=0),  # may be unknown
    ]
    prepared = prepare(csv_bytes(rows, header=False), "x")
    report = prepared.report
    assert report["rows"] == {"read": 10, "kept": 3}
    assert report["dropped"] == {"repeated": 2, "incomplete": 3, "contradictory": 2}
    assert report["incomplete"] == {"trestbps": 1, "thalach": 1, "cp": 1, "disease": 1}
    assert report["disguised"] == {"trestbps": 1, "chol": 1}
    assert prepared.frame["age"].tolist() == [63, 50, 54]
    assert prepared.frame["disease"].tolist() == [1, 0, 0]
    assert prepared.frame["disease"].dtype == np.int8
    require_canonical(prepared.frame, REQUIRED)


def test_a_patient_whose_contradiction_lacks_a_label_is_kept() -> None:
    rows = [SICK_UCI, WELL_UCI, labelled(WELL_UCI, "?")]
    assert prepare(csv_bytes(rows, header=False), "x").report["rows"]["kept"] == 2


BOTH = r"'x\.data' cannot train a model: expected patients of both classes .*, found "


@pytest.mark.parametrize(("content", "words"), [
    (csv_bytes([SICK_UCI, changed(SICK_UCI, age=50)], header=False), f"{BOTH}only 'disease'"),
    (csv_bytes([WELL_UCI], header=False), f"{BOTH}only 'no disease'"),
    (csv_bytes([WELL_UCI, labelled(WELL_UCI, 1)], header=False), f"{BOTH}no usable patient at all"),
    (csv_bytes([SICK_UCI, changed(WELL_UCI, age="?")], header=False), f"{BOTH}only 'disease'"),
    (csv_bytes([SICK_UCI[:-1], WELL_UCI[:-1]]),
     r"'x\.data' has no label: expected the column num, target or disease"),
])  # fmt: skip
def test_both_classes_are_needed(content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        prepare(content, "x.data")


def test_the_report_is_json_and_its_figures_are_those_of_the_frame(data_dir: Path) -> None:
    prepared = prepare(data_dir / "kaggle_heart_303.csv", "heart.csv")
    report = json.loads(json.dumps(prepared.report, allow_nan=False))
    assert report == prepared.report
    for label, part in prepared.frame.groupby("disease"):
        for feature in FEATURES:
            figures = report["features"][feature.name]["by_class"][str(label)]
            values = part[feature.name].dropna()
            if feature.codes:
                counts = {str(code): int((values == code).sum()) for code in feature.codes}
                assert figures == counts
            else:
                low, q1, median, q3, high = np.quantile(values, (0, 0.25, 0.5, 0.75, 1))
                expected = {"low": low, "q1": q1, "median": median, "q3": q3, "high": high}
                assert figures == pytest.approx({**expected, "mean": values.mean()})


def test_a_measurement_that_nobody_has_has_no_figures() -> None:
    rows = [changed(SICK_UCI, chol=0), changed(WELL_UCI, chol="?")]
    figures = prepare(csv_bytes(rows, header=False), "x").report["features"]["chol"]
    assert figures == {"missing": 2, "missing_share": 1.0, "by_class": {"0": None, "1": None}}


def test_who_is_in_two_files_or_nearly_so_counts_once(uci_zip: Path, tmp_path: Path) -> None:
    members = open_source(uci_zip)
    own, other = (
        prepare(members[name], name)
        for name in ("processed.cleveland.data", "processed.hungarian.data")
    )
    copied = own.frame.iloc[:30].assign(chol=own.frame["chol"].iloc[:30] + 1)
    known = other.frame[other.frame[list(FEATURE_NAMES)].notna().sum(axis=1) >= 10].iloc[:5]
    twice = known.assign(age=known["age"] + 1)
    path = tmp_path / "extra.parquet"
    pd.concat([copied, other.frame, twice]).to_parquet(path, index=False)
    both = extend(own, prepare(path, path.name, "canonical"))
    assert both.report["extra"]["near_copies"] >= 35
    assert both.report["extra"]["kept"] == len(both.frame) - len(own.frame)
    pd.testing.assert_frame_equal(both.frame.iloc[: len(own.frame)], own.frame)
    assert both.report["prevalence"]["all"]["patients"] == len(both.frame)
    assert set(row_hashes(both.frame)) <= set(row_hashes(own.frame)) | set(row_hashes(other.frame))
