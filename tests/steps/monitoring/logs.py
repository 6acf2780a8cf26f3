"""Prediction logs made up for tests, with the columns that the service writes."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from clinical.schema import FEATURE_NAMES
from risk_model.prediction_log import files
from risk_model.prediction_log.records import PROFILE, ROWS, profile_schema, rows_schema

NOW = datetime.now(UTC)


def rows_of(
    patients: pd.DataFrame, p: Iterable[float], version: str = "registry-v1", days_ago: float = 0
) -> pd.DataFrame:
    """Return the log's rows of patients scored by a model, one a second."""
    started = NOW - timedelta(days=days_ago)
    return patients[list(FEATURE_NAMES)].assign(
        id=[f"{version}-{days_ago}-{place}-0" for place in range(len(patients))],
        request_id=None,
        timestamp=[started + timedelta(seconds=place) for place in range(len(patients))],
        model_version=version,
        probability=np.asarray(list(p), float),
        prediction=np.int8(0),
        imputed=[[]] * len(patients),
        challenger_version=None,
        challenger_probability=None,
    )


def write_rows(root: Path, rows: pd.DataFrame) -> Path:
    """Write rows to the day of the first of them."""
    schema = rows_schema()
    table = pa.Table.from_pydict({name: rows[name].tolist() for name in schema.names}, schema)
    # What is unknown is null in the log, and NaN in pandas.
    for name in FEATURE_NAMES:
        column = pa.array(rows[name], pa.float64(), from_pandas=True)
        table = table.set_column(schema.get_field_index(name), name, column)
    day = rows["timestamp"].iloc[0].date()
    return files.write(table, files.day_folder(root, ROWS, day))


def write_profile(root: Path, counts: dict[str, list[int]], version: str = "registry-v1") -> Path:
    """Write counts by variable, the last of each that of unknown values."""
    rows = [
        {"model_version": version, "variable": name, "bin": place, "count": count}
        for name, values in counts.items()
        for place, count in zip([*range(len(values) - 1), -1], values, strict=True)
        if count
    ]
    table = pa.Table.from_pylist(rows, profile_schema())
    return files.write(table, files.day_folder(root, PROFILE, NOW.date()))
