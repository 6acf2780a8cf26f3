"""MLflow's ``python_function`` flavour of the model: this file travels with it.

Input
-----
A data frame, a mapping of columns, a list of records, or rows of 13 values, in the model's own
coding: whole numbers or fractions; unknown values None, NaN or NA; columns in any order, further
ones are ignored, those of findings that may be unknown may be missing. Another coding, an
impossible value, a text or a boolean is refused: with one line that names columns and rows,
never a value.

Output
------
A data frame with ``probability`` (of disease), ``prediction`` (1 disease, 0 none) and
``risk_level``, one row for each patient. With ``model_config={"output": "prediction"}`` the
predictions alone, as ``mlflow.models.evaluate`` wants them of a classifier.

It needs numpy, pandas, mlflow, and onnxruntime (or scikit-learn and skops for a model that has no
ONNX form), and nothing of the project that made it. The file of the same name that ends in
``.json`` says what the features are.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

Rows = npt.NDArray[np.float64]
Predictions = tuple[npt.NDArray[np.int64], Rows]
Feature = Mapping[str, Any]

OUTPUTS = ("probability", "prediction", "risk_level")
_AT_ONCE = 1 << 13  # so that intermediate results stay in the processor's cache
_NAMED = 5


def _load_pyfunc(path: str, model_config: Mapping[str, Any] | None = None) -> Predictor:
    """Return the model in a folder. MLflow calls it so."""
    definition = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))
    return Predictor(Path(path), definition, (model_config or {}).get("output"))


class Predictor:
    """The stored model of a folder; `output` is ``prediction`` for the predictions alone.

    `definition` has ``features``, and ``reviewed_types``: what a skops file may hold.
    """

    def __init__(self, folder: Path, definition: Mapping[str, Any], output: str | None) -> None:
        if output not in (None, "prediction"):
            raise _error("output must be None or 'prediction'.")
        self._features: Sequence[Feature] = definition["features"]
        self._output = output
        stored = json.loads((folder / "extra_files" / "model.json").read_text("utf-8"))
        bands = stored["risk_bands"]
        self._levels = np.array([band["level"] for band in bands], dtype=object)
        self._starts = np.array([band["from"] for band in bands])
        if (folder / "model.onnx").is_file():
            self._score = _by_onnx(folder / "model.onnx")
        else:
            self._score = _by_sklearn(folder / "model.skops", definition)

    def predict(self, model_input: Any) -> pd.DataFrame | npt.NDArray[np.int64]:
        """Return the predictions for some patients."""
        import pandas as pd

        frame = _frame(model_input, [feature["name"] for feature in self._features])
        labels, p = self._score(_checked(frame, self._features))
        if self._output == "prediction":
            return labels
        levels = np.searchsorted(self._starts, p, side="right") - 1
        # As objects: MLServer supports no other texts in a table.
        names = pd.Series(self._levels[levels.clip(0)], frame.index, dtype=object)
        columns = (p, labels, names)
        return pd.DataFrame(dict(zip(OUTPUTS, columns, strict=True)), index=frame.index)


def refusal(rows: npt.NDArray[np.floating[Any]], features: Sequence[Feature]) -> str:
    """Return why rows cannot be scored, in one line; empty where they can.

    They are of shape (n, n_features) in the order of `features`, NaN where unknown. A feature has
    ``name``, ``low``, ``high``, ``codes``, ``nullable`` and ``allowed``.
    """
    problems = []
    for feature, values in zip(features, rows.T, strict=True):
        unknown = np.isnan(values)
        if feature["codes"]:
            possible = np.isin(values, feature["codes"])
        else:
            possible = (values >= feature["low"]) & (values <= feature["high"])
        if (bad := ~(possible | unknown)).any():
            problems.append(f"'{feature['name']}' must be {feature['allowed']} ({_rows(bad)})")
        if unknown.any() and not feature["nullable"]:
            problems.append(f"'{feature['name']}' must not be unknown ({_rows(unknown)})")
    return "; ".join(problems) + "." if problems else ""


def _rows(marked: npt.NDArray[np.bool_]) -> str:
    """Return which rows are marked, counted from 1."""
    places = np.flatnonzero(marked) + 1
    text = ("row " if len(places) == 1 else "rows ") + ", ".join(map(str, places[:_NAMED]))
    return text + (f" and {len(places) - _NAMED} more" if len(places) > _NAMED else "")


def _checked(frame: pd.DataFrame, features: Sequence[Feature]) -> Rows:
    """Return the patients as rows, or refuse them."""
    names = [feature["name"] for feature in features]
    lacking = [f["name"] for f in features if f["name"] not in frame and not f["nullable"]]
    if lacking:
        raise _error(f"columns that are missing: {', '.join(lacking)}.")
    if twice := sorted(set(frame.columns[frame.columns.duplicated()]) & set(names)):
        raise _error(f"columns that are there more than once: {', '.join(twice)}.")
    unknown = np.full(len(frame), math.nan)
    columns = [_numbers(frame[name]) if name in frame else unknown for name in names]
    if texts := [name for name, column in zip(names, columns, strict=True) if column is None]:
        raise _error(f"columns with texts or booleans in place of numbers: {', '.join(texts)}.")
    rows = np.column_stack([column for column in columns if column is not None])
    if why := refusal(rows, features):
        raise _error(why)
    return rows


def _numbers(column: pd.Series[Any]) -> Rows | None:
    """Return a column as numbers, NaN where unknown; None where it holds anything else."""
    import pandas as pd

    if column.dtype.kind in "iuf":
        return column.to_numpy(np.float64, na_value=math.nan)
    plain = map(_plain, column)
    values = [math.nan if value is None or value is pd.NA else value for value in plain]
    if not set(map(type, values)) <= {int, float}:
        return None
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:  # a whole number with hundreds of digits
        return np.array([math.inf if abs(v) > 1e300 else v for v in values], dtype=np.float64)


def _plain(value: Any) -> Any:
    """Return numpy's scalars as Python's; MLflow's server makes arrays without axes of them."""
    scalar = isinstance(value, np.generic) or (isinstance(value, np.ndarray) and not value.ndim)
    return value.item() if scalar else value


def _frame(given: Any, names: list[str]) -> pd.DataFrame:
    """Return what was given as a data frame with named columns."""
    import pandas as pd

    if isinstance(given, pd.DataFrame):
        return given
    try:
        if isinstance(given, Mapping):
            scalar = not any(np.ndim(values) for values in given.values())
            return pd.DataFrame(given, index=[0] if scalar else None)
        if isinstance(given, list) and given and all(isinstance(row, dict) for row in given):
            return pd.DataFrame(given)
        return pd.DataFrame(given, columns=names)
    except (TypeError, ValueError):  # whose own words may repeat a patient
        raise _error(
            f"the input must be a data frame, named columns, records, or rows of {len(names)} "
            "values."
        ) from None


def _error(why: str) -> Exception:
    """Return MLflow's error for an input that is not valid: its server answers 400 then."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

    class InputError(MlflowException):
        """An input that cannot be scored."""

        def __setattr__(self, name: str, value: object) -> None:
            # MLflow's server would put the patients themselves in front of the message.
            if name != "message" or not hasattr(self, name):
                super().__setattr__(name, value)

    return InputError(f"The input cannot be scored: {why}", INVALID_PARAMETER_VALUE)


def _by_onnx(path: Path) -> Callable[[Rows], Predictions]:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # counts before the import only
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def score(rows: Rows) -> Predictions:
        labels, p = np.empty(len(rows), np.int64), np.empty(len(rows))
        for start in range(0, len(rows), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            given = {"patients": rows[part].astype(np.float32)}
            labels[part], both = session.run(["label", "probabilities"], given)
            p[part] = both[:, 1]
        return labels, p.clip(0, 1)  # what is added up in float32 may exceed 1 by its rounding

    return score


def _by_sklearn(path: Path, definition: Mapping[str, Any]) -> Callable[[Rows], Predictions]:
    import pandas as pd
    import skops.io

    pipeline = skops.io.load(path, trusted=definition["reviewed_types"])
    names = [feature["name"] for feature in definition["features"]]

    def score(rows: Rows) -> Predictions:
        if not len(rows):  # which scikit-learn refuses
            return np.empty(0, np.int64), np.empty(0)
        p = pipeline.predict_proba(pd.DataFrame(rows, columns=names))[:, 1]
        return (p > 0.5).astype(np.int64), p

    return score
