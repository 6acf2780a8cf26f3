"""Scoring one partition: from the rows of a file to a part of the output, wherever it is done."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from clinical.coding import Evidence, decode, require_one_coding, valid, weigh
from clinical.dialects import CANONICAL, TELLING, UCI, Dialect
from clinical.errors import DataError
from clinical.frame import Mask
from clinical.schema import FEATURES
from clinical.tables import plain_cell
from steps.batch.engine import Engine, Packed, unpack
from steps.batch.inputs import Partition
from steps.batch.partitions import BLOCK_ROWS, Block, read

REJECT_COLUMNS = ("source", "row", "id", "column", "expected")
_DIALECTS = {dialect.name: dialect for dialect in (UCI, CANONICAL)}


@dataclass(frozen=True)
class Batch:
    """A partition to score.

    Parameters
    ----------
    partition : Partition
    first : int
        The number of its first row in its file, counted from 1 without the header.
    rows : int
        How many there were when it was counted.
    dialect : str
        The coding of the file.
    with_id : bool
        Whether the output has the column `id`.
    """

    partition: Partition
    first: int
    rows: int
    dialect: str
    with_id: bool


@dataclass(frozen=True)
class Scored:
    """A part of the output.

    Parameters
    ----------
    part : bytes
        Parquet, one row for each valid patient.
    rejects : str
        CSV without a header, one line for each cell that is not valid.
    counts : dict of str to int
        `rows` that were read, `rejected` among them, and `level.<name>` of the others.
    seconds : float
        The time it took.
    """

    part: bytes
    rejects: str
    counts: dict[str, int]
    seconds: float


@dataclass
class _Output:
    """What the rows of a partition have come to so far."""

    rows: list[npt.NDArray[np.int64]] = field(default_factory=list)
    ids: list[Any] = field(default_factory=list)
    said: list[npt.NDArray[np.float64]] = field(default_factory=list)
    labels: list[npt.NDArray[np.int8]] = field(default_factory=list)
    rejects: io.StringIO = field(default_factory=io.StringIO)
    rejected: int = 0
    read: int = 0


def score(batch: Batch, packed: Packed) -> Scored:
    """Score a partition.

    Raises
    ------
    DataError
        With one line: the input is damaged, or not all of it is in one coding; or the model does
        not answer its reference cases.
    """
    started = time.perf_counter()
    engine, dialect = unpack(packed), _DIALECTS[batch.dialect]
    output, evidence = _Output(), Evidence()
    for block in read(batch.partition):
        for start in range(0, block.rows, BLOCK_ROWS):
            rows = _slice(block, start)
            evidence += _score_rows(rows, batch, dialect, engine, output)
    name = batch.partition.file.name
    if output.read != batch.rows:
        raise DataError(f"'{name}': lines must end in LF or CR LF, and must not change meanwhile")
    where = f"'{name}', rows {batch.first} to {batch.first + batch.rows - 1}"
    require_one_coding(evidence, dialect, where)
    part, levels = _write(output, batch, packed)
    counts = {"rows": output.read, "rejected": output.rejected, **levels}
    return Scored(part, output.rejects.getvalue(), counts, time.perf_counter() - started)


def _slice(block: Block, start: int) -> Block:
    if block.rows <= BLOCK_ROWS:
        return block
    part = slice(start, start + BLOCK_ROWS)
    return Block(
        {name: cells[part] for name, cells in block.columns.items()},
        min(BLOCK_ROWS, block.rows - start),
        None if block.ids is None else block.ids.slice(start, BLOCK_ROWS),
        {name: mask[part] for name, mask in block.bad.items() if mask[part].any()},
    )


def _score_rows(
    block: Block, batch: Batch, dialect: Dialect, engine: Engine, output: _Output
) -> Evidence:
    """Score the valid rows of a block, note the others, and weigh the coding of all."""
    columns, bad = decode(block.columns, dialect)
    for name, mask in block.bad.items():
        bad[name] = bad[name] | mask if name in bad else mask
    numbers = np.arange(batch.first + output.read, batch.first + output.read + block.rows)
    ids = block.ids
    if bad:
        keep = valid(bad, block.rows)
        _note(bad, numbers, ids, batch, output)
        output.rejected += int(block.rows - keep.sum())
        columns, numbers = {n: cells[keep] for n, cells in columns.items()}, numbers[keep]
        ids = None if ids is None else ids.filter(pa.array(keep))
    labels, said = engine(columns)
    output.read += block.rows
    output.rows.append(numbers)
    output.said.append(said)
    output.labels.append(labels)
    if batch.with_id:
        output.ids.append(pa.nulls(len(numbers), pa.string()) if ids is None else ids)
    # A code of the other coding is a bad cell in this one; weighing takes longer than looking.
    return weigh(block.columns) if bad.keys() & {*TELLING} else Evidence()


def _note(
    bad: Mapping[str, Mask],
    numbers: npt.NDArray[np.int64],
    ids: Any,
    batch: Batch,
    output: _Output,
) -> None:
    """Write a line for each cell that is not valid: which, and what would be, but not what is."""
    dialect = _DIALECTS[batch.dialect]
    expected = {feature.name: dialect.feature(feature).allowed for feature in FEATURES}
    layout = batch.partition.file.layout
    expected[""] = f"{layout.width} cells, as many as the file has columns"
    lines = csv.writer(output.rejects, lineterminator="\n")
    ragged = bad.get("")
    for name, mask in bad.items():
        # A row whose cells cannot be told apart has one fault, not fourteen.
        marked = mask if name == "" or ragged is None else mask & ~ragged
        for place in np.flatnonzero(marked).tolist():
            who = "" if ids is None else ids[place].as_py()
            cells = (batch.partition.file.name, numbers[place], who, name, expected[name])
            lines.writerow(map(plain_cell, cells))


def _write(output: _Output, batch: Batch, packed: Packed) -> tuple[bytes, dict[str, int]]:
    said = np.concatenate([np.empty(0), *output.said])
    names, starts = zip(*packed.bands, strict=True)
    levels = np.searchsorted(np.array(starts), said, side="right").astype(np.int8) - 1
    levels = levels.clip(0).astype(np.int8)
    same = np.zeros(len(said), np.int8)
    columns = {
        "source": pa.DictionaryArray.from_arrays(same, [batch.partition.file.name]),
        "row": np.concatenate([np.empty(0, np.int64), *output.rows]),
        "probability": said,
        "prediction": np.concatenate([np.empty(0, np.int8), *output.labels]),
        "risk_level": pa.DictionaryArray.from_arrays(levels, names),
        "model_version": pa.DictionaryArray.from_arrays(same, [packed.version]),
    }
    if batch.with_id:
        columns = {"id": pa.chunked_array(output.ids, pa.string()), **columns}
    written = io.BytesIO()
    pq.write_table(
        pa.table(columns),
        written,
        use_dictionary=["source", "risk_level", "model_version"],
        # Row numbers take no room as differences; probabilities shrink when their bytes are sorted.
        column_encoding={"row": "DELTA_BINARY_PACKED", "probability": "BYTE_STREAM_SPLIT"},
    )
    counted = np.bincount(levels, minlength=len(names)).tolist()
    return written.getvalue(), {f"level.{n}": c for n, c in zip(names, counted, strict=True)}
