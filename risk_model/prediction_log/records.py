"""The prediction log: its place, columns and bins. The service writes it, `monitor` reads it.

Two kinds, each in a folder of its own below the log's, with a folder for each day (UTC):

``rows/date=2026-11-26/<name>.parquet``
    A row for each patient scored, with the findings as they were sent: `rows_schema`.
``profile/date=2026-11-26/<name>.parquet``
    Counts by bin and no patient: `profile_schema`. Counts of the same bin in several rows or files
    are to be added up. Each is at least SMALLEST.

Names that begin with a point are files that are being written. Files are read with
`risk_model.prediction_log.files`, which records what a merged file replaces.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clinical.schema import FEATURE_NAMES, FEATURES, Feature
from risk_model.measurements import Baseline, Histogram

SCHEMA = 1
"""The version of columns and bins: ``log_schema`` in a file's metadata and in a baseline."""

SCHEMA_KEY = "log_schema"
ROWS, PROFILE = "rows", "profile"
PROBABILITY = "probability"
"""The variable of a profile that is no feature."""

UNKNOWN = -1
"""The bin of values that are unknown, or none of a feature's codes."""

SMALLEST = 5
"""A count below this does not reach the disk: it could point at a patient."""

Bins = dict[str, Histogram]
"""The bins of each variable."""

_BINS = 10


def default_folder() -> Path:
    """Return the log's folder where HEART_PREDICTION_LOG_DIR does not name one."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    named = os.environ.get("HEART_PREDICTION_LOG_DIR")
    return Path(named or Path(state, "heart-disease-model", "predictions"))


def rows_schema() -> Any:
    """Return the columns of ``rows`` as a pyarrow.Schema."""
    import pyarrow as pa

    return pa.schema(
        [
            ("id", pa.string()),  # request, and number of the patient in it: 9f86d081884c7d65-0
            ("request_id", pa.string()),  # the client's X-Request-ID, null where none was sent
            ("timestamp", pa.timestamp("us", tz="UTC")),  # when it was scored
            ("model_version", pa.string()),  # as answers give it: registry-v3
            *((name, pa.float64()) for name in FEATURE_NAMES),  # as sent, null where unknown
            ("probability", pa.float64()),  # of disease
            ("prediction", pa.int8()),
            ("imputed", pa.list_(pa.string())),  # the names of the unknown findings
            ("challenger_version", pa.string()),  # of the model in shadow, null without one
            ("challenger_probability", pa.float64()),
        ],
        {SCHEMA_KEY: str(SCHEMA)},
    )


def profile_schema() -> Any:
    """Return the columns of ``profile`` as a pyarrow.Schema."""
    import pyarrow as pa

    return pa.schema(
        [
            ("model_version", pa.string()),
            ("variable", pa.string()),  # a feature, or PROBABILITY
            ("bin", pa.int32()),  # its place in `bins_of` the model's baseline, or UNKNOWN
            ("count", pa.int64()),  # of patients
        ],
        {SCHEMA_KEY: str(SCHEMA)},
    )


def bins_of(baseline: Baseline | None) -> Bins:
    """Return the bins of all variables, those of the features in their order and PROBABILITY.

    A model without a baseline, or with one for another version of the log, has those that FEATURES
    gives: each code, and tenths of the possible range.
    """
    if baseline is not None and baseline.log_schema == SCHEMA:
        features = {name: baseline.features[name] for name in FEATURE_NAMES}
        return {**features, PROBABILITY: baseline.probability}
    return {
        **{feature.name: _default_bins(feature) for feature in FEATURES},
        PROBABILITY: _tenths(0.0, 1.0),
    }


def _default_bins(feature: Feature) -> Histogram:
    if feature.codes:
        return Histogram(codes=tuple(feature.codes), counts=(0,) * len(feature.codes))
    return _tenths(feature.low, feature.high)


def _tenths(low: float, high: float) -> Histogram:
    inner = np.linspace(low, high, _BINS + 1)[1:-1]
    return Histogram(edges=tuple(inner.round(6).tolist()), counts=(0,) * _BINS)


def place(bins: Histogram, values: npt.ArrayLike) -> npt.NDArray[np.intp]:
    """Return the bin of each value, shape (n,): UNKNOWN for NaN, and for an invalid code."""
    numbers = np.asarray(values, np.float64)
    if bins.codes is None:
        placed = np.searchsorted(np.asarray(bins.edges, np.float64), numbers, side="right")
        return np.where(np.isnan(numbers), UNKNOWN, placed)
    same = numbers[:, None] == np.asarray(bins.codes, np.float64)
    return np.where(same.any(1), same.argmax(1), UNKNOWN)


def count(bins: Histogram, values: npt.ArrayLike) -> tuple[npt.NDArray[np.intp], int]:
    """Return how many values are in each bin, and how many in none of them."""
    counts = np.bincount(place(bins, values) + 1, minlength=len(bins.counts) + 1)
    return counts[1:], int(counts[0])
