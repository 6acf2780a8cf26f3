"""Scoring one partition: from the rows of a file to a Parquet file with a row for each of them."""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clinical.codings.conversion import convert
from clinical.codings.definitions import Coding
from clinical.codings.evidence import Evidence, count_coding_evidence, require_coding
from clinical.frame import Mask, unknown_cells
from clinical.schema import FEATURE_NAMES, FEATURES
from clinical.tables import RAGGED
from risk_model import batches
from risk_model.bands import risk_levels
from risk_model.model import Model, Origin, load
from steps.batch.inputs import File, Partition
from steps.batch.reading import Rows, read

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

Counts = Counter[tuple[str, str]]
"""Rows by kind: ("rows", "all"), ("rows", "scored"), ("level", its name), ("problem", a column)."""


def count_evidence(partition: Partition) -> Evidence:
    """Count what the first rows of a partition show of their coding."""
    table, _ = next(read(partition), (None, {}))
    return count_coding_evidence(_columns(table) if table else {})


def _columns(table: Any) -> dict[str, Any]:
    return {name: table.column(name).to_numpy() for name in FEATURE_NAMES}


@lru_cache(maxsize=1)
def _load(folder: str) -> Model:
    return load(Origin(directory=folder))


@dataclass(frozen=True)
class Scorer:
    """What is the same for all partitions of a job.

    Parameters
    ----------
    folder : str
        Where the stored model is, in `model`, and the output goes, in `parts`.
    version : str
        What the output calls the model.
    coding : Coding
        The coding that all rows should be in.
    columns : list of str
        Those of `SCHEMA` that the output has.
    """

    folder: str
    version: str
    coding: Coding
    columns: list[str]

    def score(self, partition: Partition) -> Counts:
        """Score a partition, and write a row for each of its rows to a Parquet file.

        Raises
        ------
        DataError
            With one line: the input is damaged, or not all of it is in one coding; or the model
            does not answer its reference cases.
        OSError
            Where the file cannot be written.
        """
        counts, evidence = Counts(), count_coding_evidence({})
        schema = pa.schema({name: SCHEMA[name] for name in self.columns})
        categories = [name for name in self.columns if SCHEMA[name] == _CATEGORY]
        # Probabilities hardly ever come twice; sorted by bytes they shrink all the same.
        sorted_by_bytes = {"probability": "BYTE_STREAM_SPLIT"}
        # Whole before it has its name: after a kill, two workers may be at one partition.
        path = Path(self.folder, secrets.token_hex(8))
        try:
            with (
                path.open("wb") as file,
                pq.ParquetWriter(
                    file, schema, use_dictionary=categories, column_encoding=sorted_by_bytes
                ) as writer,
            ):
                for rows in read(partition):
                    evidence += count_coding_evidence(_columns(rows[0]))
                    output = self._score_rows(rows, partition.file, counts)
                    writer.write_table(pa.table(output).select(self.columns).cast(schema))
            require_coding(evidence, self.coding, f"'{partition.file.name}'")
            path.replace(Path(self.folder, "parts", f"part-{partition.number:06}.parquet"))
        except OSError as error:
            raise OSError(error.errno, error.strerror or str(error), self.folder) from None
        return counts

    def _score_rows(self, rows: Rows, file: File, counts: Counts) -> dict[str, Any]:
        """Return the columns of the output, and count."""
        table, not_numbers = rows
        converted = convert(_columns(table), self.coding)
        wrong: dict[str, Mask] = {}
        for marks in (converted.bad, unknown_cells(converted.columns), not_numbers):
            for name, mask in marks.items():
                wrong[name] = wrong.get(name, False) | mask
        if RAGGED in wrong:  # one fault, not fourteen
            whole = ~wrong[RAGGED]
            wrong = {name: m if name == RAGGED else m & whole for name, m in wrong.items()}
        problem, usable = self._problems(wrong, table.num_rows, file.layout.width)
        model = _load(str(Path(self.folder, "model")))
        scores = batches.score(model.engine, [c[usable] for c in converted.columns.values()])
        levels, names = risk_levels(model.bands, scores.probabilities), [n for n, _ in model.bands]
        counts.update({("rows", "all"): len(usable), ("rows", "scored"): len(levels)})
        counts.update({("level", name): int((levels == i).sum()) for i, name in enumerate(names)})
        counts.update({("problem", name): int(mask.sum()) for name, mask in wrong.items()})
        # Where each row finds its answer; null for those that have none.
        places = pa.array(np.cumsum(usable) - 1, mask=~usable)
        first = np.zeros(len(usable), np.int32)
        return {
            "source": pa.DictionaryArray.from_arrays(first, [file.name]),
            "id": table.column(file.id_column) if file.id_column else pa.nulls(len(usable)),
            "probability": pa.array(scores.probabilities).take(places),
            "prediction": pa.array(scores.labels).take(places),
            "risk_level": pa.DictionaryArray.from_arrays(pa.array(levels).take(places), names),
            "model_version": pa.DictionaryArray.from_arrays(first, [self.version]),
            "problem": problem,
        }

    def _problems(self, wrong: dict[str, Mask], count: int, width: int) -> tuple[Any, Mask]:
        """Return what is wrong with each row in words, null where nothing is, and where that is."""
        expected = {f.name: self.coding.feature(f).allowed for f in FEATURES}
        expected[RAGGED] = f"{width}, as many as the file has columns"
        kinds = np.zeros(count, np.int32)  # a bit for each column
        for i, name in enumerate(expected):
            if name in wrong:
                kinds |= wrong[name].astype(np.int32) << i
        distinct, which = np.unique(kinds, return_inverse=True)
        texts = [f"{name}: {allowed}" for name, allowed in expected.items()]
        words = ["; ".join(t for i, t in enumerate(texts) if kind >> i & 1) for kind in distinct]
        usable = kinds == 0
        return pa.DictionaryArray.from_arrays(
            pa.array(which, pa.int32(), mask=usable), words
        ), usable
