"""Files of patients, in any supported coding, converted to the canonical one.

Files of different codings have the same column names, nothing fails where they are mixed, and a
model that is served another coding than it was trained on is wrong without a sign of it. So a file
is recognised by its columns, its codes and what its rows show, or its coding is stated by the user;
else it is refused.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from clinical.codings.columns import Columns, list_names, recognise_columns
from clinical.codings.conversion import Converted, convert, describe
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
from clinical.tables import Column, Table, marked_rows, read_table


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
        evidence = count_coding_evidence(table.columns)
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
    label, alias = found.label, found.alias
    labels = table.columns.get(label or alias or "", np.empty(0))
    if label and coding is UCI and is_statlog(labels):
        coding = STATLOG
    if label and label not in coding.labels:
        raise DataError(
            f"its label '{label}' is none of the {coding.name} coding, whose labels are "
            f"{', '.join(coding.labels)}.\n  {offer(HEART_CSV)}"
        )
    converted = convert(table.columns, coding)
    if problems := found.problems + table.problems + _problems(table, coding, label, converted):
        head = f"it holds what cannot be used ({coding.name} coding):"
        raise DataError("\n  ".join([head, *problems]))
    frame = _frame(converted.columns, label)
    if alias:
        check_alias(frame, labels, alias, coding, evidence)
    if label:
        check_direction(frame, coding, label, evidence)
        if coding.labels[label] is GRADES:
            check_grades(frame, labels)
    changes = describe(coding, label)
    if found.ignored:
        changes.append(f"not used: {list_names(found.ignored)}")
    disguised = {name: count for name, count in converted.disguised.items() if count}
    return Patients(frame, coding.name, table.rows, disguised, changes, found.ignored)


def _frame(columns: dict[str, Column], label: str | None) -> pd.DataFrame:
    frame = pd.DataFrame({name: columns[name] for name in FEATURE_NAMES}, copy=False)
    if label:
        unknown = np.isnan(columns[label]).any()
        frame[LABEL.name] = columns[label] if unknown else columns[label].astype(np.int8)
    return frame


def _problems(table: Table, coding: Coding, label: str | None, converted: Converted) -> list[str]:
    """Return, column by column, the cells that are no numbers and those that are not valid."""
    allowed = {feature.name: coding.feature(feature).allowed for feature in FEATURES}
    if label:
        allowed[label] = "one of " + ", ".join(str(code) for code in coding.labels[label].codes)
    problems = []
    for column, expected in allowed.items():
        if column in table.bad:
            rows = marked_rows(table.bad[column])
            problems.append(cell_problem(column, rows, f"a number: {expected}"))
        if column in converted.bad:
            problems.append(cell_problem(column, marked_rows(converted.bad[column]), expected))
    return problems
