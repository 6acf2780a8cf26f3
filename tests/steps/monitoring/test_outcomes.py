"""Outcomes come late, in part, twice and wrong: each row of the file is used or accounted for."""

from pathlib import Path

import pandas as pd
import pytest

from clinical.errors import DataError
from clinical.schema import FEATURES
from steps.monitoring import outcomes
from tests.steps.monitoring.logs import rows_of

PATIENT = {feature.name: float(feature.example) for feature in FEATURES}


def logged() -> pd.DataFrame:
    """Return six scored patients; two share a client's id, one has an id of its own."""
    rows = rows_of(pd.DataFrame([PATIENT] * 6), [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], days_ago=10)
    return rows.assign(
        id=["a-0", "b-0", "c-0", "d-0", "e-0", "e-1"],
        request_id=[None, None, "visit-3", None, "both", "both"],
    )


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(["id,disease,observed_at", *lines]) + "\n")
    return path


def test_every_row_is_used_or_named(tmp_path: Path) -> None:
    file = write(tmp_path / "outcomes.csv", [
        "a-0,1,2026-11-20",       # 1
        "visit-3,0,2026-11-20T08:00:00Z",  # 2: the client's id
        "c-0,0,2026-11-21",       # 3: the same patient by the service's id
        "b-0,1,2026-11-20",       # 4
        "b-0,0,2026-11-22",       # 5: contradicts it
        "nobody,1,2026-11-20",    # 6
        "both,1,2026-11-20",      # 7: two patients
        "d-0,2,2026-11-20",       # 8: no outcome
        "d-0,0,yesterday",        # 9: an outcome at a time that nobody can read
    ])  # fmt: skip
    joined = outcomes.join(logged(), outcomes.read(file))
    assert joined.account == {
        "unreadable": [8], "unknown": [6], "ambiguous": [7], "contradictory": [4, 5],
        "repeated": [3],
    }  # fmt: skip
    used = joined.patients.set_index("id")
    assert used["disease"].to_dict() == {"a-0": 1, "c-0": 0, "d-0": 0}
    assert used["probability"].to_dict() == {"a-0": 0.1, "c-0": 0.3, "d-0": 0.4}
    assert used["observed_at"].isna().to_dict() == {"a-0": False, "c-0": False, "d-0": True}
    assert joined.given == len(used) + sum(map(len, joined.account.values()))


def test_a_parquet_file_with_numbers_is_read_alike(tmp_path: Path) -> None:
    file = tmp_path / "outcomes.parquet"
    at = pd.to_datetime(["2026-11-20", None])
    pd.DataFrame({"id": ["a-0", "b-0"], "disease": [1.0, None], "observed_at": at}).to_parquet(file)
    joined = outcomes.join(logged(), outcomes.read(file))
    assert joined.patients["id"].tolist() == ["a-0"]
    assert joined.account["unreadable"] == [2]


@pytest.mark.parametrize(("content", "message"), [
    (b"63,1,3\n67,1,0\n", "has no column id, disease, observed_at"),
    (b"id,disease\na,1\n", "has no column observed_at"),
    (b"", "cannot be read"),
    (b"\xff\xfe\x00\x01", "cannot be read"),
])  # fmt: skip
def test_another_file_is_refused_without_its_values(
    tmp_path: Path, content: bytes, message: str
) -> None:
    file = tmp_path / "outcomes.csv"
    file.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        outcomes.read(file)
    assert "67" not in str(caught.value)
    assert "\n" not in str(caught.value)
