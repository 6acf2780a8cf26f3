"""What the prediction log holds of each model: patients, or counts by bin."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from risk_model.prediction_log import files, records
from steps.monitoring.drift import Counts
from steps.runs.store import StepError


@dataclass(frozen=True)
class Logged:
    """A prediction log as far as it could be read.

    Its `rows`, each id once, and its `profile`, both with a column ``date``; `notes` say what could
    not be read, or was left out.
    """

    folder: Path
    rows: pd.DataFrame
    profile: pd.DataFrame
    notes: list[str]

    @property
    def versions(self) -> list[str]:
        """The versions that have answered, as answers name them, the latest first."""
        both = pd.concat([part[["model_version", "date"]] for part in (self.rows, self.profile)])
        latest = both.groupby("model_version")["date"].max().reset_index()
        return list(latest.sort_values(["date", "model_version"])["model_version"])[::-1]

    def since(self, days: int) -> Logged:
        """Return what was logged on the last days, today among them; all of it for 0 days."""
        first = _today() - timedelta(days=days - 1) if days else date.min
        rows, profile = (part[part["date"] >= first] for part in (self.rows, self.profile))
        return Logged(self.folder, rows, profile, self.notes)


def _today() -> date:
    return datetime.now(UTC).date()


def read(folder: Path) -> Logged:
    """Read a prediction log.

    Raises a `StepError` where there is none.
    """
    kinds = {kind: files.days(folder, kind) for kind in (records.ROWS, records.PROFILE)}
    if not any(kinds.values()):
        expected = [f"{kind}/date=<day>/" for kind in kinds]
        raise StepError(
            f"there is no prediction log in {folder}: expected {' or '.join(expected)}. Start the "
            "service with HEART_PREDICTION_LOG=rows or profile, or give -P "
            "log=<its HEART_PREDICTION_LOG_DIR>"
        )
    # Another machine's clock may be a little ahead.
    last = _today() + timedelta(days=1)
    later = sorted({day for days in kinds.values() for day in days if day > last})
    notes = [f"what was logged on {day}, a day that is yet to come, is left out" for day in later]
    frames = {}
    for kind in kinds:
        table, problems = files.read(folder, kind, last=last)
        frames[kind], notes = table.to_pandas(), notes + problems
    # Files that are merged while they are read may be read twice.
    return Logged(
        folder, frames[records.ROWS].drop_duplicates("id"), frames[records.PROFILE], notes
    )


def periods(rows: pd.DataFrame, least: int, most: int) -> list[pd.DataFrame]:
    """Divide rows by their time into parts of as many patients each: at least so many, if it can.

    There are at most so many parts.
    """
    ordered = rows.sort_values("timestamp")
    count = int(np.clip(len(ordered) // least, 1, most))
    return [ordered.iloc[places] for places in np.array_split(np.arange(len(ordered)), count)]


def count_baseline(bins: records.Bins) -> dict[str, Counts]:
    """Return the baseline's counts by variable; the last is that of unknown values."""
    return {name: np.array([*one.counts, one.missing], np.int64) for name, one in bins.items()}


def count_rows(bins: records.Bins, rows: pd.DataFrame) -> dict[str, Counts]:
    """Return counts by variable of rows; the last is that of unknown values."""
    return {
        name: np.append(*records.count(one, rows[name])).astype(np.int64)
        for name, one in bins.items()
    }


def count_profile(bins: records.Bins, profile: pd.DataFrame) -> dict[str, Counts]:
    """Return counts by variable of a profile; the last is that of unknown values."""
    counts, counted = profile.groupby(["variable", "bin"])["count"].sum(), {}
    for name, one in bins.items():
        places = [(name, place) for place in (*range(len(one.counts)), records.UNKNOWN)]
        counted[name] = counts.reindex(places, fill_value=0).to_numpy(np.int64)
    return counted
