"""The ONNX twin of a pipeline: the same probabilities, without Python objects to load."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.isotonic import IsotonicRegression
from sklearn.pipeline import Pipeline

from clinical.copies import row_hashes
from clinical.schema import FEATURES
from risk_model.engines import OnnxEngine
from risk_model.metadata import References

TOLERANCE = 1e-5
"""Largest difference in probability between a pipeline and its twin: float32 against float64."""


class TwinError(ValueError):
    """The converted model does not say what the pipeline says."""


def convert(pipeline: Pipeline, training: pd.DataFrame) -> bytes | None:
    """Return the ONNX model of a fitted pipeline, or None where skl2onnx cannot convert it.

    Input ``patients`` float32 (n, 13) with NaN for unknown; outputs ``label`` int64 (n,) and
    ``probabilities`` float32 (n, 2).

    Raises
    ------
    TwinError
        Where a probability differs by more than TOLERANCE on the training rows or edge cases.
    """
    try:
        model = _converted(pipeline)
    except (MissingConverter, MissingShapeCalculator, RuntimeError, ValueError):
        # Such as HistGradientBoosting, whose attributes skl2onnx 1.20 cannot write.
        return None
    content: bytes = model.SerializeToString()
    rows = np.vstack([training.to_numpy(float), edge_cases(training)])
    expected = pipeline.predict_proba(pd.DataFrame(rows, columns=training.columns))[:, 1]
    worst = float(np.abs(predict(content, rows) - expected).max())
    if not worst <= TOLERANCE:  # NaN is no agreement either
        raise TwinError(f"the ONNX twin differs by {worst:.2g} in probability from the pipeline")
    return content


def _converted(pipeline: Pipeline) -> Any:
    """Convert a pipeline; its calibration, if it has one, by nodes of our own.

    skl2onnx 1.20 feeds the calibrator of a logistic regression with probabilities where
    scikit-learn uses the decision function, and does not convert that of extra trees at all.
    """
    if not isinstance(pipeline[-1], CalibratedClassifierCV):
        return _convert(pipeline)
    (calibrated,) = pipeline[-1].calibrated_classifiers_
    scoring = Pipeline([*pipeline.steps[:-1], ("estimator", calibrated.estimator)])
    # As scikit-learn: the decision function where there is one, else the probability.
    options = {"raw_scores": True} if hasattr(_last(scoring), "decision_function") else {}
    model = _convert(scoring, **options)
    _append_calibration(model.graph, calibrated.calibrators[0])
    onnx.checker.check_model(model)
    return model


def _last(pipeline: Pipeline) -> Any:
    return _last(pipeline[-1]) if isinstance(pipeline, Pipeline) else pipeline


def _convert(pipeline: Pipeline, **options: bool) -> Any:
    return convert_sklearn(
        pipeline,
        initial_types=[("patients", FloatTensorType([None, len(FEATURES)]))],
        options={id(_last(pipeline)): {"zipmap": False, **options}},
        target_opset={"": 21, "ai.onnx.ml": 3},
    )


def _append_calibration(graph: Any, calibrator: Any) -> None:
    """Put the calibrator between the scores that a graph gives and its outputs."""
    names = {"label": "uncalibrated_label", "probabilities": "scores"}
    for node in graph.node:
        node.output[:] = [names.get(name, name) for name in node.output]
        node.input[:] = [names.get(name, name) for name in node.input]
    add = _Nodes(graph)
    score = add("Gather", "scores", add.constant(np.array([1])), axis=1)
    mapped = _isotonic if isinstance(calibrator, IsotonicRegression) else _sigmoid
    ill = mapped(add, score, calibrator)
    healthy = add("Sub", add.constant(np.float32(1)), ill)
    add("Concat", healthy, ill, output="probabilities", axis=1)
    # The first of two equal probabilities wins, as in scikit-learn.
    flat = add("Squeeze", ill, add.constant(np.array([1])))
    said = add("Greater", flat, add.constant(np.float32(0.5)))
    add("Cast", said, output="label", to=onnx.TensorProto.INT64)


class _Nodes:
    """Adds nodes to a graph, one after the other."""

    def __init__(self, graph: Any) -> None:
        self.graph, self.count = graph, 0

    def __call__(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node, and return the name of its output."""
        output = output or self._name(kind)
        self.graph.node.append(onnx.helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, value: Any) -> str:
        """Add a constant, and return its name."""
        name = self._name("constant")
        self.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
        return name

    def _name(self, kind: str) -> str:
        self.count += 1
        return f"calibration_{kind.lower()}_{self.count}"


def _sigmoid(add: _Nodes, score: str, calibrator: Any) -> str:
    scaled = add("Mul", score, add.constant(np.float32(-calibrator.a_)))
    return add("Sigmoid", add("Sub", scaled, add.constant(np.float32(calibrator.b_))))


def _isotonic(add: _Nodes, score: str, calibrator: IsotonicRegression) -> str:
    """Interpolate between thresholds: the sum of what each step adds once it is reached."""
    x = np.asarray(calibrator.X_thresholds_, np.float64)
    y = np.asarray(calibrator.y_thresholds_, np.float64)
    keep = np.diff(y) > 0
    starts, widths, rises = x[:-1][keep], np.diff(x)[keep], np.diff(y)[keep]
    # Shape (n, 1) against (steps,): the part of each step that a score has climbed, 0 to 1.
    beyond = add("Sub", score, add.constant(starts.astype(np.float32)))
    shares = add("Div", beyond, add.constant(widths.astype(np.float32)))
    zero, one = add.constant(np.float32(0)), add.constant(np.float32(1))
    climbed = add("Clip", shares, zero, one)
    risen = add("MatMul", climbed, add.constant(rises.astype(np.float32)[:, np.newaxis]))
    return add("Add", risen, add.constant(np.float32(y[0])))


def predict(content: bytes, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the twin's probabilities of disease, shape (n,), for rows of shape (n, 13)."""
    return np.asarray(OnnxEngine(content).score(rows).probabilities, dtype=float)


def reference_cases(pipeline: Pipeline, training: pd.DataFrame) -> References:
    """Return patients that nobody is, with the pipeline's probabilities for them."""
    rows = reference_rows(training)
    probabilities = pipeline.predict_proba(pd.DataFrame(rows, columns=training.columns))[:, 1]
    return References(
        # JSON has no NaN: an unknown value is null.
        inputs=tuple(
            tuple(None if math.isnan(value) else value for value in row) for row in rows.tolist()
        ),
        probabilities=tuple(probabilities.tolist()),
        tolerance=TOLERANCE,
    )


def edge_cases(training: pd.DataFrame) -> NDArray[np.float64]:
    """Return rows at the ends of every feature's range, and with every value unknown in turn."""
    usual = training.quantile(0.5, interpolation="nearest").to_numpy(float)
    rows = [usual, np.full(len(FEATURES), np.nan)]
    for i, feature in enumerate(FEATURES):
        values: Sequence[float] = [*feature.codes, feature.low, feature.high, np.nan]
        for value in values:
            row = usual.copy()
            row[i] = value
            rows.append(row)
    return np.array(rows)


def reference_rows(training: pd.DataFrame, count: int = 12) -> NDArray[np.float64]:
    """Return the rows that a server must answer rightly before it trusts a model.

    Made of typical and extreme values, never of a patient's record: they travel with the model.
    """
    quantiles = training.quantile(np.linspace(0, 1, count), interpolation="nearest").to_numpy(float)
    unknown = np.array([quantiles[count // 2], np.full(len(FEATURES), np.nan)])
    unknown[:, [feature.nullable for feature in FEATURES]] = np.nan
    rows = np.vstack([quantiles, unknown, edge_cases(training)[:: len(FEATURES)]])
    # By chance, and easily among few patients, a typical row is somebody's.
    made_up = pd.DataFrame(rows, columns=training.columns)
    return rows[~np.isin(row_hashes(made_up), row_hashes(training))]
