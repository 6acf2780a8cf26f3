"""Files of patients, in any coding that is known, brought to the canonical one.

A file is recognised by its columns *and* by the ranges of its codes, and refused otherwise: files
of different codings have the same column names, nothing fails where they are mixed, and a model
that is served another coding than it was trained on is wrong without a sign of it. The mapping
of the codes was established by joining all rows of the UCI file and of ``heart.csv`` on the
columns that they share; it holds without exception.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from clinical.errors import DataError
from clinical.frame import (
    Mask,
    cell_problem,
    frame_from_columns,
    out_of_range,
    raise_problems,
)
from clinical.schema import FEATURE_NAMES, FEATURES, LABEL, Feature
from clinical.tables import (
    Column,
    Faults,
    Layout,
    Source,
    Table,
    inspect,
    is_index,
    note,
    read_table,
)

EXPECTED = (
    f"Expected: the columns {', '.join(FEATURE_NAMES)}, and the label 'num' (UCI coding), 'target' "
    "(heart.csv) or 'disease' (canonical) where the outcome is known; or a UCI file without a "
    f"header, with {len(FEATURE_NAMES) + 1} numbers in each row."
)

_UCI_NAMES = (*FEATURE_NAMES, "num")
_PLAIN_NAME = re.compile(r"[A-Za-z_][\w .%()/:-]{0,39}")


@dataclass(frozen=True, slots=True)
class Dialect:
    """One coding of patient files.

    Parameters
    ----------
    name, label : str
        What it is called, and the name of its label column.
    label_codes : mapping of int to int
        The label's codes and whether they mean disease.
    label_meaning : str
        How the label becomes ``disease``, in words.
    codes : mapping of str to mapping of int to int
        For features that are coded in another way, the canonical code of each code.
    disguised : mapping of str to int
        The numbers that stand for an unknown value, besides -9.
    """

    name: str
    label: str
    label_codes: Mapping[int, int]
    label_meaning: str
    codes: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    disguised: Mapping[str, int] = field(default_factory=dict)

    def codes_of(self, feature: Feature) -> Mapping[int, int]:
        """Give the canonical code of each code that a feature has in this dialect."""
        return self.codes.get(feature.name) or {code: code for code in feature.codes}

    def feature(self, feature: Feature) -> Feature:
        """Give a feature as this dialect codes it, for messages."""
        codes = (
            {old: feature.codes[new] for old, new in self.codes_of(feature).items()}
            if feature.codes
            else {}
        )
        return replace(feature, codes=codes)


UCI = Dialect(
    name="uci",
    label="num",
    label_codes={0: 0, 1: 1, 2: 1, 3: 1, 4: 1},
    label_meaning="disease = (num > 0)",
    codes={
        "cp": {1: 3, 2: 1, 3: 2, 4: 0},
        "restecg": {0: 1, 1: 2, 2: 0},
        "slope": {1: 2, 2: 1, 3: 0},
        "thal": {3: 2, 6: 1, 7: 3},
    },
    disguised={"chol": 0, "trestbps": 0, "slope": 0},
)
HEART_CSV = Dialect(
    name="heart.csv",
    label="target",
    label_codes={0: 1, 1: 0},
    label_meaning="disease = 1 - target, since target = 1 means no disease in heart.csv",
    disguised={"chol": 0, "trestbps": 0, "ca": 4, "thal": 0},
)
CANONICAL = Dialect(
    name="canonical",
    label=LABEL.name,
    label_codes={0: 0, 1: 1},
    label_meaning="disease = 1 for disease",
    disguised=HEART_CSV.disguised,
)
DIALECTS = (UCI, HEART_CSV, CANONICAL)
_BY_LABEL = {dialect.label: dialect for dialect in DIALECTS}

#: More than the highest code of any dialect, and a power of two.
_CODES = 16

#: The features whose codes tell UCI files from the others.
TELLING = ("cp", "slope", "thal")


@dataclass(frozen=True, slots=True)
class Patients:
    """What a file says, in the canonical coding.

    Parameters
    ----------
    frame : DataFrame
        The 13 features as float64, NaN where unknown, one row for each row of the file; then
        ``disease`` where the file has a label: int8, or float64 where some rows lack it.
    dialect : str
        "uci", "heart.csv" or "canonical".
    rows : int
        The rows read.
    disguised : dict of str to int
        How many numbers in a column stood for an unknown value and became NaN.
    converted : list of str
        What was recoded, in words.
    """

    frame: pd.DataFrame
    dialect: str
    rows: int
    disguised: dict[str, int]
    converted: list[str]


def read_patients(source: Source | io.BytesIO, name: str) -> Patients:
    """Read a file of patients and bring it to the canonical coding.

    Parameters
    ----------
    source : Path, bytes or BytesIO
        Text with one row for each patient (comma, semicolon, tab or spaces between the columns)
        or Parquet. ``?``, empty cells and -9 are unknown values.
    name : str
        What messages call the file.

    Raises
    ------
    DataError
        Where the coding is not recognised, columns are missing, cells are no valid numbers, or
        the label points the wrong way. All problems at once, with row numbers counted from 1
        (without the header), and never with a value.
    """
    source = source.getvalue() if isinstance(source, io.BytesIO) else source
    try:
        layout, problems = _recognise(inspect(source))
        table = read_table(source, layout)
        if not table.rows:
            raise DataError("it is empty: it has no row with a patient")
        dialect, remarks = _choose(table, layout)
        patients, found = _convert(table, dialect, remarks)
        raise_problems(
            f"it holds what cannot be used ({dialect.name} coding):",
            [*problems, *table.problems, *found],
        )
        _check_orientation(patients.frame, dialect)
    except OSError as error:
        reason = error.strerror or "input/output error"
        raise DataError(f"'{name}' cannot be read: {reason}.") from error
    except DataError as error:
        raise DataError(f"'{name}' was refused: {error}") from error
    return patients


def is_patient_file(source: Source | io.BytesIO) -> bool:
    """Tell by its columns alone whether this may be a file of patients."""
    try:
        source = source.getvalue() if isinstance(source, io.BytesIO) else source
        _, problems = _recognise(inspect(source))
    except (DataError, OSError):
        return False
    return not problems


def _recognise(layout: Layout) -> tuple[Layout, list[str]]:
    """Name the columns of a file without a header, and refuse those of another schema."""
    if not layout.names:
        if layout.width != len(_UCI_NAMES):
            found = f"no header, and {layout.width} columns in the first row"
            raise DataError(
                f"it is no file of patients known here.\n  {EXPECTED}\n  Found: {found}."
            )
        return replace(layout, names=_UCI_NAMES), []
    columns = [column for column in layout.names if not is_index(column)]
    known = {*FEATURE_NAMES, *_BY_LABEL}
    alien = [column for column in columns if column not in known]
    labels = sorted(set(columns) & set(_BY_LABEL))
    missing = [column for column in FEATURE_NAMES if column not in columns]
    if alien or len(labels) > 1 or len(missing) == len(FEATURE_NAMES):
        raise DataError(
            f"it is no file of patients known here.\n  {EXPECTED}\n  Found: "
            f"{_found(alien, labels, missing)}."
        )
    twice = sorted({column for column in columns if columns.count(column) > 1})
    problems = [f"{column}: this column is missing" for column in missing]
    return layout, problems + [f"{column}: this column is there twice" for column in twice]


def _found(alien: Sequence[str], labels: Sequence[str], missing: Sequence[str]) -> str:
    # Where a header is missing, its place may hold a patient's values, which no message repeats.
    plain = [repr(column) for column in alien if _PLAIN_NAME.fullmatch(column)][:20]
    rest = [f"{len(alien) - len(plain)} without a plain name"] * (len(plain) < len(alien))
    parts = [f"unexpected columns: {', '.join(plain + rest)}"] * bool(alien)
    parts += [f"more than one label: {', '.join(labels)}"] * (len(labels) > 1)
    everything = "all 13" if len(missing) == len(FEATURE_NAMES) else ", ".join(missing)
    parts += [f"columns missing: {everything}"] * bool(missing)
    return "; ".join(parts)


def _choose(table: Table, layout: Layout) -> tuple[Dialect, list[str]]:
    """Choose the dialect by the label, else by the codes; refuse where the two disagree."""
    label = next((column for column in table.names if column in _BY_LABEL), None)
    if label is None:
        as_uci, as_canonical = _misfits(table, UCI), _misfits(table, CANONICAL)
        remark = "no label, and no code that tells UCI from canonical files: read as canonical"
        return (UCI if as_uci < as_canonical else CANONICAL), [remark] * (as_uci == as_canonical)
    dialect = _BY_LABEL[label]
    other = CANONICAL if dialect is UCI else UCI
    if _misfits(table, dialect) and not _misfits(table, other):
        said = f"the label '{label}'" if layout.skip or not layout.delimiter else "no header"
        coding = "UCI files" if other is UCI else "heart.csv and canonical files"
        raise DataError(
            f"its columns and its codes contradict each other: {said} means the "
            f"{dialect.name} coding, but the codes in {', '.join(TELLING)} are those of {coding}."
        )
    return dialect, []


def _misfits(table: Table, dialect: Dialect) -> int:
    """Count the cells that hold a code which a dialect does not have."""
    telling = [f for f in FEATURES if f.name in TELLING and f.name in table.names]
    total = 0
    for batch in table.batches:
        for feature in telling:
            values, _ = unmask(table.column(batch, feature.name), feature.name, dialect)
            total += int(_recode(values, dialect.codes_of(feature))[1].sum())
    return total


def unmask(values: Column, name: str, dialect: Dialect) -> tuple[Column, int]:
    """Turn the numbers that stand for an unknown value into NaN, and count them."""
    hidden = values == -9
    if name in dialect.disguised:
        hidden |= values == dialect.disguised[name]
    count = int(hidden.sum())
    return (np.where(hidden, np.nan, values), count) if count else (values, 0)


def _recode(values: Column, codes: Mapping[int, int]) -> tuple[Column, Mask]:
    """Translate codes; give NaN and a mark where there is no such code."""
    # Two look-ups instead of a comparison for each code: a million rows pass here nine times.
    # Whatever place a cell falls on, it must find itself there.
    itself, canonical = np.full(_CODES, np.nan), np.full(_CODES, np.nan)
    itself[list(codes)], canonical[list(codes)] = list(codes), list(codes.values())
    with np.errstate(invalid="ignore"):
        place = values.astype(np.int8) & (_CODES - 1)
    valid = itself[place] == values
    if valid.all():
        return (values if np.array_equal(itself, canonical, True) else canonical[place]), ~valid
    return np.where(valid, canonical[place], np.nan), ~valid & ~np.isnan(values)


def _convert(table: Table, dialect: Dialect, remarks: list[str]) -> tuple[Patients, list[str]]:
    """Convert all rows, emptying the table, and collect every problem."""
    rows, start = table.rows, 0
    columns = [np.full(rows, np.nan) for _ in FEATURES]
    labels = np.full(rows, np.nan)
    labelled = dialect.label in table.names
    faults: Faults = {}
    disguised: Counter[str] = Counter()
    while table.batches:
        batch = table.batches.pop(0)
        part = slice(start, start + batch.num_rows)
        for feature, column in zip(FEATURES, columns, strict=True):
            if feature.name in table.names:
                cells, hidden = unmask(table.column(batch, feature.name), feature.name, dialect)
                column[part], bad = convert_feature(cells, feature, dialect)
                disguised[feature.name] += hidden
                _note_bad(faults, feature.name, bad, start)
        if labelled:
            cells, hidden = unmask(table.column(batch, dialect.label), dialect.label, dialect)
            labels[part], bad = _recode(cells, dialect.label_codes)
            disguised[dialect.label] += hidden
            _note_bad(faults, dialect.label, bad, start)
        start = part.stop
    frame = frame_from_columns(columns)
    if labelled:
        frame[LABEL.name] = labels if np.isnan(labels).any() else labels.astype(np.int8)
    words = remarks + _words(dialect, labelled)
    patients = Patients(frame, dialect.name, rows, dict(+disguised), words)
    return patients, _problems(table, dialect, faults)


def convert_feature(values: Column, feature: Feature, dialect: Dialect) -> tuple[Column, Mask]:
    """Bring a feature's cells to the canonical coding; mark the known ones that are not valid."""
    if feature.codes:
        return _recode(values, dialect.codes_of(feature))
    return values, out_of_range(values, feature.low, feature.high)


def _note_bad(faults: Faults, column: str, bad: Mask, start: int) -> None:
    if bad.any():
        note(faults, column, (np.flatnonzero(bad) + start + 1).tolist())


def _problems(table: Table, dialect: Dialect, faults: Faults) -> list[str]:
    """Tell, column by column, of the cells that are no numbers and of those that are not valid."""
    allowed = {feature.name: dialect.feature(feature).allowed for feature in FEATURES}
    allowed[dialect.label] = "one of " + ", ".join(str(code) for code in dialect.label_codes)
    problems = []
    for column, words in allowed.items():
        if column in table.bad:
            problems.append(cell_problem(column, *table.bad[column], f"a number: {words}"))
        if column in faults:
            problems.append(cell_problem(column, *faults[column], words))
    return problems


def _words(dialect: Dialect, labelled: bool) -> list[str]:
    words = [
        f"{name}: " + ", ".join(f"{old} -> {new}" for old, new in codes.items())
        for name, codes in dialect.codes.items()
    ]
    return words + [dialect.label_meaning] * (labelled and dialect is not CANONICAL)


def _check_orientation(frame: pd.DataFrame, dialect: Dialect) -> None:
    """Refuse a label that runs against what is known of the disease.

    The signs are angina during exercise, a coloured vessel, a reversible defect and the absence
    of chest pain. One counts where the difference in prevalence is beyond two standard errors,
    so that a small or odd sample passes, as do all four hospitals of the UCI archive.
    """
    if LABEL.name not in frame:
        return
    diseased = frame[LABEL.name].to_numpy(dtype=np.float64)
    scores = {sign: _score(present, diseased) for sign, present in _signs(frame).items()}
    wrong = [sign for sign, score in scores.items() if score < -2]
    right = [sign for sign, score in scores.items() if score > 2]
    if len(wrong) >= 2 and len(wrong) > len(right):
        raise DataError(
            f"its label '{dialect.label}' points the wrong way: read as {dialect.label_meaning}, "
            f"disease is less frequent with {', '.join(wrong)}, which is the reverse of what is "
            "known.\n  In UCI files num > 0 means disease; in heart.csv target = 1 means no "
            "disease; in canonical files disease = 1 means disease. Where 1 means disease in a "
            "column 'target', rename it to 'disease'."
        )


def _signs(frame: pd.DataFrame) -> dict[str, tuple[Mask, Mask]]:
    """Give, for each sign, who has it and who is known not to."""

    def split(name: str, low: float) -> tuple[Mask, Mask]:
        values = frame[name].to_numpy()
        return values >= low, values < low

    pain = frame["cp"].to_numpy()
    return {
        "angina during exercise (exang 1)": split("exang", 1),
        "coloured vessels (ca above 0)": split("ca", 1),
        "a reversible defect (thal)": split("thal", 3),
        "asymptomatic chest pain (cp)": (pain == 0, pain > 0),
    }


def _score(groups: tuple[Mask, Mask], diseased: Column) -> float:
    """Compare the prevalence with and without a sign, in standard errors; 0 where few have it."""
    known, sick = ~np.isnan(diseased), diseased == 1
    (n1, sick1), (n0, sick0) = (
        (int((group & known).sum()), int((group & sick).sum())) for group in groups
    )
    if min(n1, n0) < 5:
        return 0.0
    pooled = (sick1 + sick0) / (n1 + n0)
    error = (pooled * (1 - pooled) * (1 / n1 + 1 / n0)) ** 0.5
    return (sick1 / n1 - sick0 / n0) / error if error else 0.0
