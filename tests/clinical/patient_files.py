"""Small files of patients for the tests: each row is valid, and each test breaks one thing."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
import pytest

from clinical.codings.definitions import Coding
from clinical.errors import DataError
from clinical.patients import read_patients
from clinical.schema import FEATURE_NAMES, FEATURES, LABEL

# Diseased and healthy, in both codings of the same two patients.
SICK_UCI = [63, 1, 4, 145, 233, 1, 2, 150, 1, 2.3, 2, 2, 7, 3]
WELL_UCI = [41, 0, 2, 130, 204, 0, 0, 172, 0, 1.4, 1, 0, 3, 0]
SICK_CSV = [63, 1, 0, 145, 233, 1, 0, 150, 1, 2.3, 1, 2, 3, 0]
WELL_CSV = [41, 0, 1, 130, 204, 0, 1, 172, 0, 1.4, 2, 0, 2, 1]

EXAMPLE: dict[str, float | None] = {feature.name: feature.example for feature in FEATURES}


def csv_bytes(rows: list[list[object]], label: str | None = None, *, header: bool = True) -> bytes:
    """Write rows as CSV, under the features and, where it is named, the label."""
    names = [*FEATURE_NAMES, *([label] if label else [])]
    lines = [",".join(names)] if header else []
    lines += [",".join("?" if cell is None else str(cell) for cell in row) for row in rows]
    return ("\n".join(lines) + "\n").encode()


def changed(row: list[object], **cells: object) -> list[object]:
    """Copy a row with other cells, by feature."""
    copy = list(row)
    for name, cell in cells.items():
        copy[FEATURE_NAMES.index(name)] = cell
    return copy


def labelled(row: list[object], label: object) -> list[object]:
    """Copy a row with another label."""
    return [*row[:-1], label]


def refusal(content: bytes, coding: str = "auto") -> str:
    """Return why a file is refused."""
    with pytest.raises(DataError) as caught:
        read_patients(content, "patients.csv", coding)
    assert "'patients.csv'" in str(caught.value)
    return str(caught.value)


def frame_of(records: Sequence[Mapping[str, float | None]]) -> pd.DataFrame:
    """Return a canonical frame without a label; what a record lacks is unknown."""
    return pd.DataFrame(list(records), columns=list(FEATURE_NAMES), dtype=np.float64)


def written_in(coding: Coding, frame: pd.DataFrame) -> pd.DataFrame:
    """Write canonical patients in another coding."""
    back = {name: {new: old for old, new in codes.items()} for name, codes in coding.codes.items()}
    return frame.assign(**{name: frame[name].map(codes) for name, codes in back.items()})


def require_canonical(frame: pd.DataFrame, known: Collection[str] = ()) -> None:
    """Hold every cell of a canonical frame to what its feature accepts."""
    for feature in FEATURES:
        cells = frame[feature.name]
        assert cells.dropna().map(feature.accepts).all(), feature.name
        assert feature.name not in known or cells.notna().all(), feature.name
    if LABEL.name in frame:
        assert frame[LABEL.name].isin(LABEL.codes).all()
