"""From a file to the patients that a model may learn from, and an account of what was done."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import pandas as pd

from clinical.dialects import read_patients
from clinical.errors import DataError
from clinical.frame import drop_contradictory, drop_incomplete, drop_repeated
from clinical.report import describe
from clinical.schema import LABEL
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
    report: dict[str, Any] = {
        "file": name,
        "dialect": patients.dialect,
        "rows": {"read": patients.rows},
        "disguised": patients.disguised,
        "converted": patients.converted,
    }
    # The names let go of each frame as soon as the next one exists, since they may be large.
    unique = drop_repeated(patients.frame)
    del patients
    complete, incomplete = drop_incomplete(unique)
    repeated, unfinished = report["rows"]["read"] - len(unique), len(unique) - len(complete)
    del unique
    frame = drop_contradictory(complete)
    report["incomplete"] = incomplete
    report["rows"]["kept"] = len(frame)
    report["dropped"] = {
        "repeated": repeated,
        "incomplete": unfinished,
        "contradictory": len(complete) - len(frame),
    }
    del complete
    _require_both_classes(frame, name)
    frame = frame.reset_index(drop=True)
    return Prepared(frame, {**report, **describe(frame)})


def _require_both_classes(frame: pd.DataFrame, name: str) -> None:
    found = [word for code, word in LABEL.codes.items() if (frame[LABEL.name] == code).any()]
    if len(found) < len(LABEL.codes):
        only = f"only '{found[0]}'" if found else "no usable patient at all"
        raise DataError(
            f"'{name}' cannot train a model: expected patients of both classes "
            f"({', '.join(LABEL.codes.values())}), found {only}."
        )
