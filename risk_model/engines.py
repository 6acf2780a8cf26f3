"""Engines: what computes a model's probabilities, of one patient or of many.

Many are scored in an order that suits a processor's caches, some thousands at a time.
"""

import math
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from clinical.schema import FEATURE_NAMES, FEATURES
from risk_model.errors import ModelError

Rows = npt.NDArray[np.floating[Any]]
Probabilities = npt.NDArray[np.float64]
OUTPUTS = ["label", "probabilities"]
"""The outputs of an ONNX model: int64 (n,), and float32 (n, 2) for healthy and ill."""
INPUT = "patients"
"""Its input: float32 (n, 13) in the order of FEATURES, NaN where unknown."""


class Scores(NamedTuple):
    """Predicted classes and probabilities of disease of some patients, both of shape (n,)."""

    labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.floating[Any]]


def import_runtime() -> Any:
    """Import onnxruntime without its telemetry, whose variable counts before the import only.

    It would start a thread, which reports to its maker, and for which a worker forked later waits
    in vain when it ends.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    return onnxruntime


class OnnxEngine:
    """An ONNX model in onnxruntime; no Python object is deserialised."""

    name = "onnx"
    dtype: type[np.floating[Any]] = np.float32

    def __init__(self, content: bytes) -> None:
        onnxruntime = import_runtime()
        options = onnxruntime.SessionOptions()
        # Work is spread over processes; the runtime's own threads made batches slower.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
            names = {output.name for output in session.get_outputs()}
        except Exception as error:
            raise ModelError(f"The ONNX model does not load: {type(error).__name__}.") from error
        if not names.issuperset(OUTPUTS):
            raise ModelError("The ONNX model lacks the outputs label and probabilities.")
        self._run = session.run

    def score(self, rows: Rows) -> Scores:
        """Score patients given as rows of the 13 values in the order of FEATURES, NaN unknown."""
        labels, probabilities = self._run(OUTPUTS, {INPUT: np.asarray(rows, np.float32)})
        return Scores(labels, probabilities[:, 1])

    def score_one(self, values: Sequence[float | None]) -> tuple[int, float]:
        """Return the predicted class and probability of disease of one patient; None: unknown."""
        labels, probabilities = self._run(OUTPUTS, {INPUT: np.array((values,), np.float32)})
        return int(labels[0]), float(probabilities[0, 1])


class SklearnEngine:
    """A fitted scikit-learn classifier, for a model without an ONNX model."""

    name = "scikit-learn"
    dtype: type[np.floating[Any]] = np.float64

    def __init__(self, estimator: Any) -> None:
        if not hasattr(estimator, "predict_proba"):
            raise ModelError("The model gives no probabilities (it has no predict_proba).")
        self._estimator = estimator

    def score(self, rows: Rows) -> Scores:
        """Score patients given as rows of the 13 values in the order of FEATURES, NaN unknown."""
        import pandas as pd

        frame = pd.DataFrame(rows, columns=list(FEATURE_NAMES), dtype=np.float64)
        probabilities = self._estimator.predict_proba(frame)[:, 1]
        classes = self._estimator.classes_
        # As scikit-learn's own predict: the first of equal probabilities wins.
        labels = np.where(probabilities > 0.5, classes[1], classes[0]).astype(np.int64)
        return Scores(labels, probabilities)

    def score_one(self, values: Sequence[float | None]) -> tuple[int, float]:
        """Return the predicted class and probability of disease of one patient; None: unknown."""
        scores = self.score(np.array([values], dtype=np.float64))
        return int(scores.labels[0]), float(scores.probabilities[0])


Engine = OnnxEngine | SklearnEngine
"""Computes predictions in numbers of its `dtype`."""

Columns = Sequence[npt.NDArray[np.floating[Any]]] | npt.NDArray[np.floating[Any]]
"""The 13 features in the order of FEATURES, NaN where unknown: each of shape (n,), or (13, n)."""

BATCH_ROWS = 1 << 13
"""How many rows an engine is given at once, so that its intermediate results stay in the cache."""

LEVELS = 16
"""How finely measured values are distinguished; a finer grid gains nothing."""

# The features as digits of one number, the last of them leading, and codes before measured values.
_CODED = [feature for feature in reversed(FEATURES) if feature.codes]
_DIGITS = [*_CODED, *(feature for feature in reversed(FEATURES) if not feature.codes)]
_PLACES = [FEATURES.index(feature) for feature in _DIGITS]
_PARTS = [int(f.high - f.low) if f.codes else LEVELS for f in _DIGITS]
_KIND = np.min_scalar_type(math.prod(parts + 2 for parts in _PARTS) - 1)


def score_many(
    engine: Engine,
    columns: Columns,
    size: int = BATCH_ROWS,
    run: Callable[[Sequence[Callable[[], Scores]]], Sequence[Scores]] | None = None,
) -> Scores:
    """Return the scores of many patients, in their order; `size` rows at most at once.

    `run` calls functions, such as in threads, and returns their results in order.
    """
    order = cache_friendly_order(columns)
    rows = np.stack(list(columns), 1, dtype=engine.dtype)

    def score(part: npt.NDArray[np.intp]) -> Scores:
        return engine.score(rows[part])

    parts = [order[start : start + size] for start in range(0, len(order), size)]
    calls = [partial(score, part) for part in parts]
    scored = run(calls) if run else [call() for call in calls]
    labels, probabilities = np.empty(len(order), np.int64), np.empty(len(order))
    for part, scores in zip(parts, scored, strict=True):
        labels[part], probabilities[part] = scores
    return Scores(labels, probabilities)


def cache_friendly_order(columns: Columns) -> npt.NDArray[np.intp]:
    """Return an order of patients, shape (n,), in which similar ones follow one another.

    They have the same codes, and then similar measured values. So they take the same ways through a
    forest, which a processor then guesses right: it takes half the time. No answer depends on it.
    """
    number = np.zeros(len(columns[0]), _KIND)
    for feature, place, parts in zip(_DIGITS, _PLACES, _PARTS, strict=True):
        # 0 is unknown, and whatever is below the possible values.
        step = (feature.high - feature.low) / parts
        within = np.clip(columns[place], feature.low - step, feature.high)
        digit = np.nan_to_num((within - feature.low) / step + 1)
        number = number * _KIND.type(parts + 2) + digit.astype(_KIND)
    return np.argsort(number)
