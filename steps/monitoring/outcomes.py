"""Outcomes that come back late and in part, joined to their patients; none is lost."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from clinical.errors import DataError
from clinical.schema import FEATURE_NAMES, LABEL

COLUMNS = ("id", LABEL.name, "observed_at")
OUTCOMES = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "False": 0, "True": 1}
KINDS = ("unreadable", "unknown", "ambiguous", "contradictory", "repeated")
"""Why a row of the file is not used; each row has one reason at most."""


@dataclass(frozen=True)
class Joined:
    """Patients of the log with their outcomes.

    `patients` are rows of the log with ``disease`` and ``observed_at``; `account` has, under each
    of KINDS, the rows of the outcomes' file from 1 on, of which there are `given`.
    """

    patients: pd.DataFrame
    account: dict[str, list[int]]
    given: int


def read(path: Path) -> pd.DataFrame:
    """Read a file of outcomes as text, with ``observed_at`` as a time.

    Raises a `DataError` where it is not a CSV or Parquet file with the columns of COLUMNS.
    """
    expected = f"expected a CSV or Parquet file with the columns {', '.join(COLUMNS)}"
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            frame = pd.read_parquet(path)
        else:
            frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, OSError) as error:
        raise DataError(
            f"'{path.name}' cannot be read: {expected}, found {type(error).__name__}."
        ) from None
    # Other names are not repeated: where a file has no header, they are a patient's values.
    if lacking := [name for name in COLUMNS if name not in frame]:
        raise DataError(f"'{path.name}' has no column {', '.join(lacking)}: {expected}.")
    read_at = pd.to_datetime(frame["observed_at"], errors="coerce", utc=True, format="ISO8601")
    texts = pd.DataFrame({n: frame[n].astype(str).str.strip() for n in ("id", LABEL.name)})
    texts["observed_at"], texts["row"] = read_at, np.arange(1, len(frame) + 1)
    return texts


def join(rows: pd.DataFrame, outcomes: pd.DataFrame) -> Joined:
    """Find the patient of each outcome: by the service's id, or else by the client's.

    `rows` are those of the log, each id once; `outcomes` what `read` returns.
    """
    outcome, place = outcomes[LABEL.name].map(OUTCOMES), _places(rows, outcomes["id"])
    patient = place.where(outcome.notna() & (place >= 0))
    reasons = [
        outcome.isna(),
        place == _UNKNOWN,
        place == _AMBIGUOUS,
        outcome.groupby(patient).transform("nunique") > 1,
        patient.duplicated() & patient.notna(),
    ]
    reason = np.select(reasons, KINDS, "")
    used = reason == ""
    patients = rows.iloc[place[used]].assign(
        **{LABEL.name: outcome[used].to_numpy(np.int8)},
        observed_at=outcomes["observed_at"][used].array,
    )
    account = {kind: outcomes["row"][reason == kind].tolist() for kind in KINDS}
    return Joined(patients, account, len(outcomes))


_UNKNOWN, _AMBIGUOUS = -1, -2


def _places(rows: pd.DataFrame, ids: pd.Series) -> pd.Series:
    """Return the place of each id among rows, _UNKNOWN or _AMBIGUOUS where there is no one."""
    own = pd.Series(np.arange(len(rows)), index=rows["id"].to_numpy())
    by_client = pd.Series(np.arange(len(rows))).groupby(rows["request_id"].to_numpy())
    # A client may use one id again, and one request may be about several patients.
    clients = by_client.first().where(by_client.size() == 1, _AMBIGUOUS)
    # The service's own ids come first, where a client has used one of those.
    place_of = pd.concat([own, clients])
    place_of = place_of[~place_of.index.duplicated()]
    return ids.map(place_of).fillna(_UNKNOWN).astype(np.intp)


def labelled(patients: pd.DataFrame) -> pd.DataFrame:
    """Return what a model can learn from: findings and outcome, and nothing else of the log."""
    return patients[[*FEATURE_NAMES, LABEL.name]].reset_index(drop=True)
