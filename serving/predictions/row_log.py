"""The prediction log with rows: small files, one a minute or every thousand rows."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clinical.schema import FEATURE_NAMES
from risk_model.prediction_log import files
from risk_model.prediction_log.records import ROWS, rows_schema
from serving.predictions.scored import Scored

ROWS_A_FILE = 1000
SECONDS_A_FILE = 60.0
_DAY_SECONDS = 86_400


class RowLog:
    """Keeps rows until a file of them is due.

    Parameters
    ----------
    folder : Path
        The log's.
    most : int
        How many rows are kept where they cannot be written; further ones are dropped.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self._folder = folder
        self._most = most
        self._kept: list[Scored] = []
        self._unwritten: list[tuple[date, Any]] = []
        self._due_at = 0.0
        self.waiting = 0

    def add(self, scored: Scored) -> int:
        """Take predictions; return how many there is no room for."""
        if self.waiting + len(scored) > self._most:
            return len(scored)
        if not self.waiting:
            self._due_at = time.monotonic() + SECONDS_A_FILE
        self._kept.append(scored)
        self.waiting += len(scored)
        return 0

    def write(self, *, now: bool = False) -> None:
        """Write what there is, where it is due or is to be written now.

        Raises
        ------
        OSError
            What could not be written is kept.
        """
        due = self.waiting >= ROWS_A_FILE or time.monotonic() >= self._due_at
        if not self.waiting or not (now or due):
            return
        if self._kept:
            self._unwritten += _tables(self._kept)
            self._kept = []
        while self._unwritten:
            day, table = self._unwritten[0]
            files.write(table, files.day_folder(self._folder, ROWS, day))
            del self._unwritten[0]
            self.waiting -= table.num_rows


def _tables(parts: Sequence[Scored]) -> list[tuple[date, Any]]:
    """Return the rows of predictions by day."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def joined(name: str) -> npt.NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    def versions(found: Iterable[str | None]) -> npt.NDArray[np.object_]:
        return np.repeat(np.array([*found], dtype=object), [len(part) for part in parts])

    values, times, challenger = joined("values"), joined("times"), joined("challenger")
    unknown, not_asked = np.isnan(values), np.isnan(challenger)
    ends = np.append(0, unknown.sum(1).cumsum()).astype(np.int32)
    asked = pa.array(versions(part.challenger_version for part in parts), pa.string())
    columns = [
        list(chain.from_iterable(part.ids for part in parts)),
        list(chain.from_iterable(part.request_ids for part in parts)),
        (times * 1e6).astype("datetime64[us]"),
        versions(part.model.origin.version for part in parts),
        *(pa.array(column, from_pandas=True) for column in values.T),
        joined("probabilities"),
        joined("labels"),
        pa.ListArray.from_arrays(ends, pa.array(FEATURE_NAMES).take(np.nonzero(unknown)[1])),
        pc.if_else(not_asked, pa.scalar(None, pa.string()), asked),
        pa.array(challenger, mask=not_asked),
    ]
    schema = rows_schema()
    table = pa.table(dict(zip(schema.names, columns, strict=True)), schema)
    days = times // _DAY_SECONDS
    return [
        (datetime.fromtimestamp(day * _DAY_SECONDS, UTC).date(), table.filter(days == day))
        for day in np.unique(days).tolist()
    ]
