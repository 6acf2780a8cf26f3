"""The prediction log without patients: counts by bin, written once they are not small."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from clinical.schema import FEATURE_NAMES
from risk_model.model import Model
from risk_model.prediction_log import files
from risk_model.prediction_log.records import (
    PROFILE,
    SMALLEST,
    UNKNOWN,
    Bins,
    bins_of,
    count,
    profile_schema,
)
from serving.predictions.scored import Scored


class ProfileLog:
    """Counts what it is given, and writes counts that are not small.

    A count is kept until it is SMALLEST or more, if need be into the next day; then it is written,
    for the day that it is written on, and counted anew. So no count and no difference of two of
    them points at fewer patients, and rare values are not lost for being rare.
    """

    rows_a_file = most_rows = math.inf  # only time and SMALLEST decide

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._counts: Counter[tuple[str, str, int]] = Counter()
        self._model: Model | None = None
        self._bins: Bins = {}
        self.waiting = 0

    def add(self, scored: Scored) -> None:
        """Count predictions."""
        if scored.model is not self._model:
            self._model, self._bins = scored.model, bins_of(scored.model.metadata.baseline)
        values = dict(zip(FEATURE_NAMES, scored.values.T, strict=True))
        for variable, bins in self._bins.items():
            counts, unknown = count(bins, values.get(variable, scored.probabilities))
            key = scored.model.origin.version, variable
            self._counts[(*key, UNKNOWN)] += unknown
            for place in np.flatnonzero(counts).tolist():
                self._counts[(*key, place)] += int(counts[place])
        self.waiting += len(scored)

    def write(self) -> None:
        """Write the counts that are not small; what could not be written (OSError) is kept."""
        import pyarrow as pa

        ready = {key: number for key, number in self._counts.items() if number >= SMALLEST}
        if ready:
            schema = profile_schema()
            columns = zip(*((*key, number) for key, number in ready.items()), strict=True)
            table = pa.table(dict(zip(schema.names, map(list, columns), strict=True)), schema)
            files.write(table, files.day_folder(self._folder, PROFILE, datetime.now(UTC).date()))
            self._counts -= Counter(ready)
        self.waiting = 0
