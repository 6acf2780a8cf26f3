"""The prediction log without patients: counts by bin, written once they are not small."""

from collections import Counter
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import numpy as np

from risk_model.prediction_log import files, records
from serving.predictions.scored import Scored

_AT_ONCE = 10_000


class ProfileLog:
    """Counts patients by bins, and writes counts that are not small.

    A count is kept until it is SMALLEST or more, if need be into the next day; then it is written,
    for the day that it is written on, and counted anew. So no count and no difference of two of
    them points at fewer patients, and rare values are not lost for being rare.
    """

    rows_a_file = most_rows = float("inf")  # only time and SMALLEST decide

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._counts: Counter[tuple[str, str, int]] = Counter()
        self._kept: list[Scored] = []
        self._uncounted = 0
        self.waiting = 0

    def add(self, scored: Scored) -> None:
        """Take predictions. Many are counted at once: each step of it holds up requests."""
        self._kept.append(scored)
        self._uncounted += len(scored)
        self.waiting += len(scored)
        if self._uncounted >= _AT_ONCE:
            self._count()

    def _count(self) -> None:
        kept, self._kept, self._uncounted = self._kept, [], 0
        for model, scored in groupby(kept, lambda each: each.model):
            parts = list(scored)
            values = np.concatenate([part.values for part in parts])
            probabilities = np.concatenate([part.probabilities for part in parts])
            bins = records.bins_of(model.metadata.baseline)
            for (variable, places), column in zip(
                bins.items(), (*values.T, probabilities), strict=True
            ):
                counts, unknown = records.count(places, column)
                key = model.origin.version, variable
                self._counts[(*key, records.UNKNOWN)] += unknown
                for place in np.flatnonzero(counts).tolist():
                    self._counts[(*key, place)] += int(counts[place])

    def write(self) -> None:
        """Write the counts that are not small; what could not be written (OSError) is kept."""
        import pyarrow as pa

        self._count()
        ready = {key: number for key, number in self._counts.items() if number >= records.SMALLEST}
        if ready:
            schema = records.profile_schema()
            columns = zip(*((*key, number) for key, number in ready.items()), strict=True)
            table = pa.table(dict(zip(schema.names, map(list, columns), strict=True)), schema)
            today = datetime.now(UTC).date()
            files.write(table, files.day_folder(self._folder, records.PROFILE, today))
            self._counts -= Counter(ready)
        self.waiting = 0
