"""The prediction log with rows: small files, one a minute or every thousand rows."""

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

MOST_ROWS = 20_000
"""How many predictions may wait in the queue, and how many for a disk that takes none."""

_DAY_SECONDS = 86_400


class RowLog:
    """Keeps rows until they are written, up to MOST_ROWS where they cannot be."""

    rows_a_file, most_rows = 1000, MOST_ROWS

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: list[Scored] = []
        self._unwritten: list[tuple[date, Any]] = []
        self.waiting = 0

    def add(self, scored: Scored) -> None:
        """Take predictions."""
        self._kept.append(scored)
        self.waiting += len(scored)

    def write(self) -> None:
        """Write what there is; what could not be written (OSError) is kept."""
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

    def versions(names: Iterable[str | None]) -> npt.NDArray[np.object_]:
        return np.repeat(np.array([*names], dtype=object), [len(part) for part in parts])

    values, times, challenger = joined("values"), joined("times"), joined("challenger")
    unknown, not_scored = np.isnan(values), np.isnan(challenger)
    ends = np.append(0, unknown.sum(1).cumsum()).astype(np.int32)
    shadow_versions = pa.array(versions(part.challenger_version for part in parts), pa.string())
    # At once: with each call the interpreter may change hands, which holds up a request.
    findings = pa.array(values.T.ravel(), from_pandas=True)
    ids, request_ids = zip(*(part.ids() for part in parts), strict=True)
    columns = [
        pa.chunked_array([pa.array(each).cast(pa.string()) for each in ids]),
        list(chain.from_iterable(request_ids)),
        (times * 1e6).astype("datetime64[us]"),
        versions(part.model.origin.version for part in parts),
        *(findings.slice(i * len(values), len(values)) for i in range(len(FEATURE_NAMES))),
        joined("probabilities"),
        joined("labels"),
        pa.ListArray.from_arrays(ends, pa.array(FEATURE_NAMES).take(np.nonzero(unknown)[1])),
        pc.if_else(not_scored, pa.scalar(None, pa.string()), shadow_versions),
        pa.array(challenger, mask=not_scored),
    ]
    schema = rows_schema()
    table = pa.table(dict(zip(schema.names, columns, strict=True)), schema)
    days = times // _DAY_SECONDS
    distinct = np.unique(days).tolist()
    tables = [table] if len(distinct) == 1 else [table.filter(days == day) for day in distinct]
    dates = [datetime.fromtimestamp(day * _DAY_SECONDS, UTC).date() for day in distinct]
    return list(zip(dates, tables, strict=True))
