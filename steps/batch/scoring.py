"""Scoring one partition: from the rows of a file to a Parquet file with a row for each of them."""

import secrets
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clinical.codings.conversion import Converted, convert
from clinical.codings.definitions import Coding
from clinical.codings.evidence import Evidence, count_coding_evidence, require_coding
from clinical.schema import FEATURES
from clinical.tables import RAGGED, Column, Mask, unknown_cells
from risk_model.bands import risk_levels
from risk_model.engines import score_many
from risk_model.model import Model, Origin, load
from steps.batch.inputs import Partition, read

_CATEGORY = pa.dictionary(pa.int32(), pa.string())
SCHEMA = {
    "source": _CATEGORY,
    "id": pa.string(),
    "probability": pa.float64(),
    "prediction": pa.int8(),
    "risk_level": _CATEGORY,
    "model_version": _CATEGORY,
    "problem": _CATEGORY,
}
"""The columns of the output; `id` is there where a file has one."""

# Probabilities hardly ever come twice; sorted by bytes they shrink all the same.
_ENCODING: dict[str, Any] = {
    "use_dictionary": [name for name, kind in SCHEMA.items() if kind == _CATEGORY],
    "column_encoding": {"probability": "BYTE_STREAM_SPLIT"},
}

Counts = Counter[tuple[str, str]]
"""Rows by kind: ("rows", "all"), ("rows", "scored"), ("level", its name), ("problem", a column)."""


def count_evidence(partition: Partition) -> Evidence:
    """Count what the first rows of a partition show of their coding."""
    return count_coding_evidence(next((columns for columns, _, _ in read(partition)), {}))


@lru_cache(maxsize=1)
def _load(folder: str) -> Model:
    return load(Origin(directory=str(Path(folder, "model"))))


@dataclass(frozen=True)
class Scorer:
    """What is the same for all partitions of a job.

    `folder` has the stored model as `model`, and gets the output, with some `columns` of `SCHEMA`
    and the model called `version`, in `parts`.
    """

    folder: str
    version: str
    coding: Coding
    columns: list[str]

    def score(self, partition: Partition) -> Counts:
        """Score a partition, and write a row for each of its rows to a Parquet file."""
        counts, evidence, file = Counts(), count_coding_evidence({}), partition.file
        expected = {RAGGED: f"{file.layout.width}, as in the first line"}
        expected |= {feature.name: self.coding.feature(feature).allowed for feature in FEATURES}
        schema = pa.schema({name: SCHEMA[name] for name in self.columns})
        # Whole before it has its name: after a kill, two workers may be at one partition.
        path = Path(self.folder, secrets.token_hex(8))
        try:
            with path.open("wb") as out, pq.ParquetWriter(out, schema, **_ENCODING) as writer:
                for columns, ids, unread in read(partition):
                    evidence += count_coding_evidence(columns)
                    converted = convert(columns, self.coding)
                    problem, usable = _describe(unread, converted, expected, counts)
                    output = self._predict(converted.columns, usable, counts)
                    source = pa.repeat(file.name, len(ids)).dictionary_encode()
                    output |= {"source": source, "id": ids, "problem": problem}
                    writer.write_table(pa.table(output).select(self.columns).cast(schema))
            require_coding(evidence, self.coding, f"'{file.name}'")
            path.replace(Path(self.folder, "parts", f"part-{partition.number:06}.parquet"))
        except OSError as error:
            raise OSError(error.errno, error.strerror or str(error), self.folder) from None
        return counts

    def _predict(self, columns: dict[str, Column], usable: Mask, counts: Counts) -> dict[str, Any]:
        """Return the predictions for the usable rows, null for the others."""
        model = _load(self.folder)
        scores = score_many(model.engine, [cells[usable] for cells in columns.values()])
        levels = risk_levels(model.bands, scores.probabilities)
        names = [name for name, _ in model.bands]
        counts.update({("rows", "all"): len(usable), ("rows", "scored"): len(levels)})
        counts.update({("level", name): int((levels == i).sum()) for i, name in enumerate(names)})
        places = pa.array(np.cumsum(usable) - 1, mask=~usable)
        return {
            "probability": pa.array(scores.probabilities).take(places),
            "prediction": pa.array(scores.labels).take(places),
            "risk_level": pa.DictionaryArray.from_arrays(pa.array(levels).take(places), names),
            "model_version": pa.repeat(self.version, len(usable)).dictionary_encode(),
        }


def _describe(
    unread: dict[str, Mask], converted: Converted, expected: dict[str, str], counts: Counts
) -> tuple[Any, Mask]:
    """Return the problems of each row as text, null where it has none, and a mask of the latter."""
    faults = [*unread.items(), *converted.bad.items(), *unknown_cells(converted.columns).items()]
    kinds = np.zeros(len(converted.columns["age"]), np.int32)  # a bit for each name
    bits = {name: bit for bit, name in enumerate(expected)}
    for name, mask in faults:
        kinds |= mask.astype(np.int32) << bits[name]
    kinds[kinds & 1 == 1] = 1  # nothing is known of a ragged row: one fault, not fourteen
    counts.update({("problem", n): int((kinds >> bits[n] & 1).sum()) for n, _ in faults})
    distinct, which = np.unique(kinds, return_inverse=True)
    texts = [f"{name}: {allowed}" for name, allowed in expected.items()]
    problems = ["; ".join(t for i, t in enumerate(texts) if kind >> i & 1) for kind in distinct]
    usable = kinds == 0
    places = pa.array(which, pa.int32(), mask=usable)
    return pa.DictionaryArray.from_arrays(places, problems), usable
