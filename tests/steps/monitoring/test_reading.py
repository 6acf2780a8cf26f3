"""A prediction log is read as far as it can be, and what is left out is said."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinical.schema import FEATURES
from risk_model.prediction_log.records import bins_of
from steps.monitoring import reading
from steps.runs.store import StepError
from tests.steps.monitoring.logs import rows_of, write_profile, write_rows

PATIENTS = pd.DataFrame([{f.name: float(f.example) for f in FEATURES}] * 6).assign(
    age=[40.0, 45, 50, 55, 60, np.nan]
)
BINS = bins_of(None)


def rows(**more: object) -> pd.DataFrame:
    return rows_of(PATIENTS, [0.1, 0.2, 0.3, 0.6, 0.7, 0.95], **more)  # type: ignore[arg-type]


def test_no_log_is_one_line_that_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"no prediction log in .*HEART_PREDICTION_LOG=rows") as e:
        reading.read(tmp_path)
    assert "\n" not in str(e.value)


def test_a_row_counts_once_and_what_is_cut_or_yet_to_come_is_left_out_and_said(
    tmp_path: Path,
) -> None:
    whole = write_rows(tmp_path, rows())
    write_rows(tmp_path, rows())  # again, in another file
    cut = whole.with_name("cut.parquet")
    cut.write_bytes(whole.read_bytes()[:200])
    write_rows(tmp_path, rows(days_ago=-400))  # by a clock that is ahead
    logged = reading.read(tmp_path)
    assert len(logged.rows) == len(PATIENTS)
    early, unreadable = logged.notes
    assert str(cut) in unreadable
    assert "yet to come" in early


def test_days_count_back_from_today_and_the_latest_version_comes_first(tmp_path: Path) -> None:
    for version, days_ago in (("registry-v1", 20), ("registry-v2", 0), ("registry-v1", 10)):
        write_rows(tmp_path, rows(version=version, days_ago=days_ago))
    logged = reading.read(tmp_path)
    assert logged.versions == ["registry-v2", "registry-v1"]
    assert len(logged.rows) == 3 * len(PATIENTS)
    assert logged.since(1).versions == ["registry-v2"]
    assert len(logged.since(11).rows) == 2 * len(PATIENTS)
    assert len(logged.since(0).rows) == len(logged.rows)


def test_rows_and_a_profile_of_them_give_the_same_counts(tmp_path: Path) -> None:
    counts = reading.count_rows(BINS, rows())
    assert counts["age"][-1] == 1
    assert counts["probability"].tolist() == [0, 1, 1, 1, 0, 0, 1, 1, 0, 1, 0]
    write_profile(tmp_path, {name: values.tolist() for name, values in counts.items()})
    profile = reading.read(tmp_path).profile
    for name, values in reading.count_profile(BINS, profile).items():
        np.testing.assert_array_equal(values, counts[name])
