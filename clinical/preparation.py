"""From a file to the patients that a model may learn from, and an account of what was done."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from clinical.dialects import read_patients
from clinical.errors import DataError
from clinical.frame import Mask, any_of, contradictory, repeated, row_hashes, unknown_cells
from clinical.report import describe
from clinical.schema import FEATURE_NAMES, LABEL
from clinical.tables import Source


@dataclass(frozen=True, slots=True)
class Prepared:
    """Patients ready for training.

    Parameters
    ----------
    frame : DataFrame
        Canonical, with ``disease`` as int8; every patient once, all required features known; the
        index counts from 0.
    report : dict
        The account, as JSON can hold it: `file`, `dialect`, `rows` (`read`, `kept`), `dropped`
        (rows by reason: `repeated`, `incomplete`, `contradictory`), `incomplete` (columns whose
        absence dropped rows), `disguised` and `converted` (see `clinical.dialects.Patients`), and
        all of `clinical.report.describe`.
    """

    frame: pd.DataFrame
    report: dict[str, Any]


def prepare(source: Source | io.BytesIO, name: str) -> Prepared:
    """Read a file of patients, in any known coding, and keep what a model can learn from.

    Parameters
    ----------
    source : Path, bytes or BytesIO
        See `clinical.dialects.read_patients`, which also checks every cell.
    name : str
        What messages and the report call the file.

    Raises
    ------
    DataError
        Where the file is refused, has no label, or does not leave patients of both classes.
    """
    patients = read_patients(source, name)
    if LABEL.name not in patients.frame:
        raise DataError(f"'{name}' has no label: expected the column num, target or disease.")
    account = {
        "file": name,
        "dialect": patients.dialect,
        "disguised": patients.disguised,
        "converted": patients.converted,
    }
    rows = patients.frame
    del patients
    keep, counts = _usable(rows)
    # Column by column, each let go of when its usable rows have been taken: they may be many.
    names = (*FEATURE_NAMES, LABEL.name)
    columns = {column: rows.pop(column).to_numpy()[keep] for column in names}
    columns[LABEL.name] = columns[LABEL.name].astype(np.int8, copy=False)
    frame = pd.DataFrame(columns, copy=False)
    del columns
    _require_both_classes(frame, name)
    return Prepared(frame, {**account, **counts, **describe(frame)})


def _usable(rows: pd.DataFrame) -> tuple[Mask, dict[str, Any]]:
    """Mark the rows to keep, and count the others by the first reason to drop them."""
    hashes = row_hashes(rows)
    drop = repeated(rows, hashes)
    dropped = {"repeated": int(drop.sum())}
    unknown = {name: mask & ~drop for name, mask in unknown_cells(rows).items()}
    incomplete = any_of(unknown, len(rows))
    drop |= incomplete
    disputed = contradictory(hashes, drop)
    drop |= disputed
    dropped |= {"incomplete": int(incomplete.sum()), "contradictory": int(disputed.sum())}
    lacking = {name: int(mask.sum()) for name, mask in unknown.items() if mask.any()}
    counted = {"read": len(rows), "kept": len(rows) - int(drop.sum())}
    return ~drop, {"rows": counted, "dropped": dropped, "incomplete": lacking}


def _require_both_classes(frame: pd.DataFrame, name: str) -> None:
    found = [word for code, word in LABEL.codes.items() if (frame[LABEL.name] == code).any()]
    if len(found) < len(LABEL.codes):
        only = f"only '{found[0]}'" if found else "no usable patient at all"
        raise DataError(
            f"'{name}' cannot train a model: expected patients of both classes "
            f"({', '.join(LABEL.codes.values())}), found {only}."
        )
