"""Files of patients, in any supported coding, converted to the canonical one.

Files of different codings have the same column names, nothing fails where they are mixed, and a
model that is served another coding than it was trained on is wrong without a sign of it. So a file
is recognised by its columns, its codes and what its rows show, or its coding is stated by the user;
else it is refused.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from clinical.codings.columns import Columns, list_names, recognise_columns
from clinical.codings.conversion import convert, describe
from clinical.codings.definitions import (
    AUTO,
    GRADES,
    HEART_CSV,
    STATLOG,
    UCI,
    Coding,
    offer,
    stated_coding,
)
from clinical.codings.evidence import Evidence, count_coding_evidence
from clinical.codings.labels import check_alias, check_direction, check_grades, is_statlog
from clinical.codings.recognition import recognise
from clinical.errors import DataError, cell_problem
from clinical.layout import Source, inspect, open_table
from clinical.schema import FEATURE_NAMES, FEATURES, LABEL
from clinical.tables import Column, Faults, Table, columns, note, read_table


@dataclass(frozen=True, slots=True)
class Patients:
    """What a file holds, in the canonical coding."""

    # The 13 features as float64, NaN where unknown, one row for each row of the file; then
    # ``disease`` where the file has a label: int8, or float64 where some rows lack it.
    frame: pd.DataFrame
    coding: str  # "uci", "statlog", "heart.csv", "canonical" or "zero_based"
    rows: int
    disguised: dict[str, int]  # how many numbers in a column stood for an unknown value
    converted: list[str]  # what was recoded
    ignored: list[str]  # columns that were not used


def read_patients(source: Source, name: str, coding: str = AUTO) -> Patients:
    """Read a file of patients, which messages call `name`, and bring it to the canonical coding.

    It is text with one row for each patient (comma, semicolon, tab or spaces between the columns;
    UTF-8 or UTF-16; also packed by gzip) or Parquet. ``?``, empty cells and -9 are unknown.
    `coding` is what the user states: auto (recognise it), or a name of ``CODINGS``.

    Raises a `DataError` where the coding is not recognised, columns are missing, cells are no valid
    numbers, or the label points the wrong way. All problems at once, with row numbers counted from
    1 (without the header), and never with a value.
    """
    stated = stated_coding(coding)
    try:
        source = open_table(source)
        layout = inspect(source)
        found = recognise_columns(layout.names, layout.width, stated)
        names = [n for n in (*FEATURE_NAMES, found.label, found.alias) if n]
        table = read_table(source, replace(layout, names=found.names), names)
        if not table.rows:
            raise DataError("it is empty: it has no row with a patient")
        counted = (count_coding_evidence(columns(b, FEATURE_NAMES)) for b in table.batches)
        evidence = sum(counted, start=count_coding_evidence({}))
        if stated is None:
            stated = recognise(evidence, found.label, bool(layout.names))
        return _read(table, found, stated, evidence)
    except OSError as error:
        reason = error.strerror or "input/output error"
        raise DataError(f"'{name}' cannot be read: {reason}.") from error
    except DataError as error:
        raise DataError(f"'{name}' was refused: {error}") from error


def is_patient_file(source: Source) -> bool:
    """Return whether this may be a file of patients, by its columns alone."""
    try:
        layout = inspect(open_table(source))
        return not recognise_columns(layout.names, layout.width).problems
    except (DataError, OSError):
        return False


def _read(table: Table, found: Columns, coding: Coding, evidence: Evidence) -> Patients:
    """Convert all rows, check them together, and describe the changes."""
    label, alias, rows = found.label, found.alias, table.rows
    labels = _whole(table, label or alias)
    if label and coding is UCI and is_statlog(labels):
        coding = STATLOG
    if label and label not in coding.labels:
        raise DataError(
            f"its label '{label}' is none of the {coding.name} coding, whose labels are "
            f"{', '.join(coding.labels)}.\n  {offer(HEART_CSV)}"
        )
    frame, faults, disguised = _convert(table, label, coding)
    if problems := found.problems + table.problems + _problems(table, coding, label, faults):
        head = f"it holds what cannot be used ({coding.name} coding):"
        raise DataError("\n  ".join([head, *problems]))
    if alias:
        check_alias(frame, labels, alias, coding, evidence)
    if label:
        check_direction(frame, coding, label, evidence)
        if coding.labels[label] is GRADES:
            check_grades(frame, labels)
    changes = describe(coding, label)
    if found.ignored:
        changes.append(f"not used: {list_names(found.ignored)}")
    return Patients(frame, coding.name, rows, dict(+disguised), changes, found.ignored)


def _whole(table: Table, name: str | None) -> Column:
    """Return a column of all rows; an empty one where it is not there."""
    parts = [columns(batch, [name]) for batch in table.batches if name]
    return np.concatenate([np.empty(0), *(part[name] for part in parts if name in part)])


def _convert(
    table: Table, label: str | None, coding: Coding
) -> tuple[pd.DataFrame, Faults, Counter[str]]:
    """Convert all rows, emptying the table, and note the cells that are not valid."""
    names = [name for name in (*FEATURE_NAMES, label) if name]
    filled = {name: np.full(table.rows, np.nan) for name in names}
    faults: Faults = {}
    disguised: Counter[str] = Counter()
    start = 0
    while table.batches:
        batch = table.batches.pop(0)
        converted = convert(columns(batch, names), coding)
        for name, cells in converted.columns.items():
            filled[name][start : start + batch.num_rows] = cells
        for name, bad in converted.bad.items():
            note(faults, name, bad, start)
        disguised += converted.disguised
        start += batch.num_rows
    labels = filled.pop(label) if label else None
    frame = pd.DataFrame(filled, copy=False)
    if labels is not None:
        frame[LABEL.name] = labels if np.isnan(labels).any() else labels.astype(np.int8)
    return frame, faults, disguised


def _problems(table: Table, coding: Coding, label: str | None, faults: Faults) -> list[str]:
    """Return, column by column, the cells that are no numbers and those that are not valid."""
    allowed = {feature.name: coding.feature(feature).allowed for feature in FEATURES}
    if label:
        allowed[label] = "one of " + ", ".join(str(code) for code in coding.labels[label].codes)
    problems = []
    for column, expected in allowed.items():
        if column in table.bad:
            problems.append(cell_problem(column, *table.bad[column], f"a number: {expected}"))
        if column in faults:
            problems.append(cell_problem(column, *faults[column], expected))
    return problems
