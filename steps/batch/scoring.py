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

from clinical.coding import Evidence, decode, require_one_coding, weigh
from clinical.dialects import TELLING, Dialect
from clinical.frame import Mask
from clinical.schema import FEATURE_NAMES, FEATURES
from risk_model import batches
from risk_model.bands import risk_levels
from risk_model.model import Model, Origin, load
from steps.batch.inputs import Partition
from steps.batch.reading import RAGGED, Rows, read

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


@dataclass(frozen=True)
class Recipe:
    """What is the same for all partitions of a job.

    Parameters
    ----------
    folder : str
        What all workers share: the stored model is in `model`, the output in `parts`.
    version : str
        What the output calls the model.
    dialect : Dialect
        The coding that all rows should be in.
    columns : tuple of str
        The columns of the output.
    """

    folder: str
    version: str
    dialect: Dialect
    columns: tuple[str, ...]


@lru_cache(maxsize=1)
def _load(folder: str) -> Model:
    return load(Origin(directory=str(Path(folder, "model"))))


def weigh_beginning(partition: Partition) -> Evidence:
    """Weigh which coding a file is in, from the first rows of its first partition."""
    first = next(read(partition), None)
    return weigh(_columns(first[0])) if first else Evidence()


def score(partition: Partition, part: str, recipe: Recipe) -> Counts:
    """Score a partition, and write a row for each of its rows to the Parquet file `part`.

    Raises
    ------
    DataError
        With one line: the input is damaged, or not all of it is in one coding; or the model does
        not answer its reference cases.
    OSError
        Where the file cannot be written.
    """
    counts, evidence, folder = Counts(), Evidence(), Path(recipe.folder)
    schema = pa.schema({name: SCHEMA[name] for name in recipe.columns})
    # Probabilities hardly ever come twice; sorted by bytes they shrink all the same.
    encodings: dict[str, Any] = {
        "use_dictionary": [name for name in recipe.columns if SCHEMA[name] == _CATEGORY],
        "column_encoding": {"probability": "BYTE_STREAM_SPLIT"},
    }
    # Until it is whole under a name of its own: after a kill, two workers may be at one partition.
    path = folder / f"{part}.{secrets.token_hex(8)}"
    try:
        with path.open("wb") as file, pq.ParquetWriter(file, schema, **encodings) as writer:
            for rows in read(partition):
                table, wrong = _score_rows(rows, partition, recipe, counts)
                writer.write_table(table.select(schema.names).cast(schema))
                # A code of another coding is a wrong cell; weighing takes longer than looking.
                evidence += weigh(_columns(rows[0])) if wrong & {*TELLING} else Evidence()
        require_one_coding(evidence, recipe.dialect, f"'{partition.file.name}'")
        path.replace(folder / "parts" / part)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), recipe.folder) from None
    return counts


def _columns(table: Any) -> dict[str, Any]:
    return {name: table.column(name).to_numpy() for name in FEATURE_NAMES}


def _score_rows(
    rows: Rows, partition: Partition, recipe: Recipe, counts: Counts
) -> tuple[Any, set[str]]:
    """Return the output of some rows, and the columns in which something is wrong."""
    table, not_numbers = rows
    columns, wrong = decode(_columns(table), recipe.dialect)
    for name, mask in not_numbers.items():
        wrong[name] = wrong[name] | mask if name in wrong else mask
    if (ragged := wrong.pop(RAGGED, None)) is not None:  # one fault, not fourteen
        wrong = {name: mask & ~ragged for name, mask in wrong.items()} | {RAGGED: ragged}
    expected = {f.name: recipe.dialect.feature(f).allowed for f in FEATURES}
    expected[RAGGED] = f"{partition.file.layout.width}, as many as the file has columns"
    problem, usable = _problems(wrong, table.num_rows, expected)
    model = _load(recipe.folder)
    scores = batches.score(model.engine, [cells[usable] for cells in columns.values()])
    levels, names = risk_levels(model.bands, scores.probabilities), [n for n, _ in model.bands]
    counts.update({("rows", "all"): table.num_rows, ("rows", "scored"): len(levels)})
    counts.update({("level", name): int((levels == i).sum()) for i, name in enumerate(names)})
    counts.update({("problem", name): int(mask.sum()) for name, mask in wrong.items()})
    # Where each row finds its answer; null for those that have none.
    places = pa.array(np.cumsum(usable) - 1, mask=~usable)
    first = np.zeros(table.num_rows, np.int32)
    output = {
        "source": pa.DictionaryArray.from_arrays(first, [partition.file.name]),
        "id": table.column("id") if "id" in table.schema.names else pa.nulls(len(first)),
        "probability": pa.array(scores.probabilities).take(places),
        "prediction": pa.array(scores.labels).take(places),
        "risk_level": pa.DictionaryArray.from_arrays(pa.array(levels).take(places), names),
        "model_version": pa.DictionaryArray.from_arrays(first, [recipe.version]),
        "problem": problem,
    }
    return pa.table(output), {*wrong}


def _problems(wrong: dict[str, Mask], count: int, expected: dict[str, str]) -> tuple[Any, Mask]:
    """Return what is wrong with each row in words, null where nothing is, and where that is."""
    kinds = np.zeros(count, np.int32)  # a bit for each column
    for i, name in enumerate(expected):
        if name in wrong:
            kinds |= wrong[name].astype(np.int32) << i
    distinct, which = np.unique(kinds, return_inverse=True)
    texts = [f"{name}: {allowed}" for name, allowed in expected.items()]
    words = ["; ".join(t for i, t in enumerate(texts) if kind >> i & 1) for kind in distinct]
    usable = kinds == 0
    return pa.DictionaryArray.from_arrays(pa.array(which, pa.int32(), mask=usable), words), usable
