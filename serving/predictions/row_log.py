"""The prediction log with rows: small files, one a minute or every thousand rows."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clinical.schema import FEATURE_NAMES
from risk_model import prediction_log_files as files
from risk_model.prediction_log import ROWS, rows_schema
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
        self._tables: dict[date, list[Any]] = {}
        self._due_at = 0.0
        self.waiting = 0

    def add(self, scored: Scored) -> int:
        """Take predictions; return how many there is no room for."""
        if self.waiting + len(scored) > self._most:
            return len(scored)
        if not self.waiting:
            self._due_at = time.monotonic() + SECONDS_A_FILE
        table, days = _table(scored), scored.times // _DAY_SECONDS
        for number in np.unique(days).tolist():
            day = datetime.fromtimestamp(number * _DAY_SECONDS, UTC).date()
            self._tables.setdefault(day, []).append(table.filter(days == number))
        self.waiting += len(scored)
        return 0

    def write(self, *, now: bool = False) -> None:
        """Write what there is, where it is due or is to be written now.

        Raises
        ------
        OSError
            What could not be written is kept, and due in a minute.
        """
        import pyarrow as pa

        if not (now or self.waiting >= ROWS_A_FILE or time.monotonic() >= self._due_at):
            return
        self._due_at = time.monotonic() + SECONDS_A_FILE
        for day in list(self._tables):
            table = pa.concat_tables(self._tables[day])
            files.write(table, files.day_folder(self._folder, ROWS, day))
            del self._tables[day]
            self.waiting -= table.num_rows


def _table(scored: Scored) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    number = len(scored)
    unknown: npt.NDArray[np.bool_] = np.isnan(scored.values)
    not_asked: npt.NDArray[np.bool_] = np.isnan(scored.challenger)
    ends = np.append(0, unknown.sum(1).cumsum()).astype(np.int32)
    challenger = pa.repeat(pa.scalar(scored.challenger_version, pa.string()), number)
    columns = [
        scored.ids,
        scored.request_ids,
        (scored.times * 1e6).astype("datetime64[us]"),
        pa.repeat(scored.model.origin.version, number),
        *(pa.array(column, from_pandas=True) for column in scored.values.T),
        scored.probabilities,
        scored.labels,
        pa.ListArray.from_arrays(ends, pa.array(FEATURE_NAMES).take(np.nonzero(unknown)[1])),
        pc.if_else(not_asked, pa.scalar(None, pa.string()), challenger),
        pa.array(scored.challenger, mask=not_asked),
    ]
    schema = rows_schema()
    return pa.table(dict(zip(schema.names, columns, strict=True)), schema)
