"""Invented patients, written down apart from the project: requests must not follow its code."""

import csv
import io
import random
from collections.abc import Sequence
from typing import NamedTuple

Row = list[float | None]


class Field(NamedTuple):
    """A field of a request as docs/schema.md describes it, and where invented values are drawn."""

    name: str
    low: float
    high: float
    example: float
    usual: tuple[float, float] = (0, 0)
    coded: bool = False
    nullable: bool = False


FIELDS = (
    Field("age", 18, 110, 54, (29, 77)),
    Field("sex", 0, 1, 1, coded=True),
    Field("cp", 0, 3, 0, coded=True),
    Field("trestbps", 60, 260, 120, (94, 200)),
    Field("chol", 80, 700, 240, (126, 420), nullable=True),
    Field("fbs", 0, 1, 0, coded=True, nullable=True),
    Field("restecg", 0, 2, 0, coded=True),
    Field("thalach", 40, 230, 160, (71, 202)),
    Field("exang", 0, 1, 0, coded=True),
    Field("oldpeak", -4, 10, 0.0, (0, 5)),
    Field("slope", 0, 2, 1, coded=True, nullable=True),
    Field("ca", 0, 3, 0, coded=True, nullable=True),
    Field("thal", 1, 3, 2, coded=True, nullable=True),
)
NAMES = [field.name for field in FIELDS]
EXAMPLE = {field.name: field.example for field in FIELDS}
UCI_CODES = {
    "cp": {0: 4, 1: 2, 2: 3, 3: 1},
    "restecg": {0: 2, 1: 0, 2: 1},
    "slope": {0: 3, 1: 2, 2: 1},
    "thal": {1: 6, 2: 3, 3: 7},
}


def invented(count: int = 200, seed: int = 9) -> list[Row]:
    """Return patients in the canonical coding; every third lacks some of what may be unknown."""
    draw = random.Random(seed)
    return [
        [
            None
            if number % 3 == 0 and field.nullable and draw.random() < 0.4
            else _value(field, draw)
            for field in FIELDS
        ]
        for number in range(count)
    ]


def _value(field: Field, draw: random.Random) -> float:
    if field.coded:
        return draw.randint(int(field.low), int(field.high))
    if field.name == "oldpeak":
        return round(draw.uniform(*field.usual), 1)
    return draw.randint(int(field.usual[0]), int(field.usual[1]))


def patient(row: Row) -> dict[str, float | None]:
    """Return a row as the object that a client sends."""
    return dict(zip(NAMES, row, strict=True))


def in_uci_coding(row: Row) -> Row:
    """Return a row of the canonical coding in that of the UCI files."""
    return [
        UCI_CODES[name][int(value)] if name in UCI_CODES and value is not None else value
        for name, value in zip(NAMES, row, strict=True)
    ]


def as_csv(rows: Sequence[Sequence[object]], header: Sequence[str], unknown: str = "") -> str:
    """Return lines of CSV under a header."""
    written = io.StringIO()
    lines = csv.writer(written, lineterminator="\n")
    lines.writerow(header)
    lines.writerows([unknown if cell is None else cell for cell in row] for row in rows)
    return written.getvalue()
