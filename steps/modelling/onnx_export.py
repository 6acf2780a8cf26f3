"""The ONNX model of a fitted one: the same probabilities, without Python objects to load."""

import math
from typing import Any

import numpy as np
import onnx
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator
from sklearn.ensemble import StackingClassifier
from sklearn.isotonic import IsotonicRegression
from sklearn.pipeline import Pipeline

from clinical.errors import DataError
from clinical.schema import FEATURE_NAMES, FEATURES
from risk_model import patterns
from risk_model.engines import INPUT, OnnxEngine
from steps.modelling.calibration.form import NEAREST, calibration_of
from steps.modelling.estimators import fills
from steps.modelling.references import TOLERANCE, edge_cases

ONE = np.float32(1)


def convert(model: StackingClassifier, training: pd.DataFrame) -> bytes | None:
    """Return the ONNX model of a fitted one, or None where skl2onnx cannot convert it.

    Input ``patients`` float32 (n, 13) with NaN for unknown; outputs ``label`` int64 (n,) and
    ``probabilities`` float32 (n, 2).
    Raises a `DataError` where a probability differs by more than TOLERANCE on the training rows or
    edge cases.
    """
    try:
        converted = _converted(model)
    except (MissingConverter, MissingShapeCalculator, RuntimeError, ValueError):
        # Such as HistGradientBoosting, whose attributes skl2onnx 1.20 cannot write.
        return None
    content: bytes = converted.SerializeToString()
    rows = np.vstack([training.to_numpy(float), edge_cases(training)])
    expected = model.predict_proba(pd.DataFrame(rows, columns=training.columns))[:, 1]
    worst = float(np.abs(predict(content, rows) - expected).max())
    if not worst <= TOLERANCE:  # NaN is no agreement either
        raise DataError(f"the ONNX model differs by {worst:.2g} in probability")
    return content


def predict(content: bytes, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ONNX model's probabilities of disease, shape (n,), for rows of shape (n, 13)."""
    return np.asarray(OnnxEngine(content).score(rows).probabilities, dtype=float)


def _converted(model: StackingClassifier) -> Any:
    """Convert the estimator by skl2onnx, and what is before and after it by nodes of our own.

    skl2onnx 1.20 supports neither unknown values nor an isotonic calibration, and it encodes
    each unordered finding by nodes of its own, where one comparison does for all.
    """
    (pipeline,) = model.estimators_
    estimator = pipeline[-1]
    last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    converted = convert_sklearn(
        estimator,
        initial_types=[("encoded", FloatTensorType([None, estimator.n_features_in_]))],
        options={id(last): {"zipmap": False}},
        target_opset={"": 21, "ai.onnx.ml": 3},
    )
    graph = converted.graph
    names = {"label": "uncalibrated_label", "probabilities": "uncalibrated"}
    nodes = list(graph.node)
    del graph.node[:]
    add = _Nodes(graph)
    patients = onnx.TensorProto.FLOAT, [None, len(FEATURES)]
    graph.input[0].CopyFrom(onnx.helper.make_tensor_value_info(INPUT, *patients))
    _encode(add, model)
    for node in nodes:
        node.output[:] = [names.get(name, name) for name in node.output]
        node.input[:] = [names.get(name, name) for name in node.input]
    graph.node.extend(nodes)
    _calibrate(add, model)
    onnx.checker.check_model(converted, full_check=True)
    return converted


class _Nodes:
    """Adds nodes to a graph, one after the other."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph

    def __call__(self, kind: str, *inputs: ArrayLike, output: str = "", **attributes: Any) -> str:
        """Add a node, and return the name of its output.

        Its inputs are names of others' outputs, or constants.
        """
        output = output or f"heart_{kind.lower()}_{len(self.graph.node)}"
        names = [value if isinstance(value, str) else self._constant(value) for value in inputs]
        self.graph.node.append(onnx.helper.make_node(kind, names, [output], **attributes))
        return output

    def _constant(self, value: ArrayLike) -> str:
        name = f"heart_constant_{len(self.graph.initializer)}"
        self.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
        return name


def _encode(add: _Nodes, model: StackingClassifier) -> None:
    """Fill in what is unknown, and compare each unordered finding with each of its codes."""
    values = fills(model)
    filled = add(
        "Imputer",
        INPUT,
        imputed_value_floats=[values[name] for name in FEATURE_NAMES],
        replaced_value_float=math.nan,
        domain="ai.onnx.ml",
    )
    (_, _, ordered), (_, encoding, nominal) = model.estimators_[0][0].transformers_
    codes = encoding[-1].categories_
    repeated = np.repeat(nominal, [len(each) for each in codes])
    numbers = add("Gather", filled, np.array(ordered), axis=1)
    of_codes = add("Gather", filled, repeated, axis=1)
    equal = add("Equal", of_codes, np.concatenate(codes).astype(np.float32))
    shown = add("Cast", equal, to=onnx.TensorProto.FLOAT)
    add("Concat", numbers, shown, output="encoded", axis=1)


def _calibrate(add: _Nodes, model: StackingClassifier) -> None:
    """Put the calibration between the probabilities that a graph gives and its outputs."""
    p = add("Gather", "uncalibrated", np.array([1]), axis=1)
    # The number of the pattern of what is unknown, shape (n, 1).
    bits = np.zeros((len(FEATURES), 1), np.float32)
    bits[patterns.PLACES, 0] = patterns.BITS
    unknown = add("Cast", add("IsNaN", INPUT), to=onnx.TensorProto.FLOAT)
    pattern = add("Cast", add("MatMul", unknown, bits), to=onnx.TensorProto.INT64)
    calibration = calibration_of(model)
    moved = add("Gather", calibration.intercepts.astype(np.float32), pattern)
    scores = [_log_odds(add, p)]
    if calibration.isotonic is not None:
        scores.append(_log_odds(add, _isotonic(add, p, calibration.isotonic)))
    for score, slope in zip(scores, calibration.slopes, strict=True):
        scale = add("Gather", slope.astype(np.float32), pattern)
        moved = add("Add", moved, add("Mul", scale, score))
    ill = add("Sigmoid", moved)
    add("Concat", add("Sub", ONE, ill), ill, output="probabilities", axis=1)
    # The first of two equal probabilities wins, as in scikit-learn.
    add("ArgMax", "probabilities", output="label", axis=1, keepdims=0)


def _log_odds(add: _Nodes, p: str) -> str:
    nearest = np.float32(NEAREST)
    kept = add("Clip", p, nearest, ONE - nearest)
    return add("Log", add("Div", kept, add("Sub", ONE, kept)))


def _isotonic(add: _Nodes, score: str, calibrator: IsotonicRegression) -> str:
    """Interpolate between thresholds: the sum of what each step adds once it is reached."""
    x = np.asarray(calibrator.X_thresholds_, np.float64)
    y = np.asarray(calibrator.y_thresholds_, np.float64)
    keep = np.diff(y) > 0
    starts, widths, rises = (
        each[keep].astype(np.float32) for each in (x[:-1], np.diff(x), np.diff(y))
    )
    # Shape (n, 1) against (steps,): the part of each step that a score has climbed, 0 to 1.
    climbed = add("Clip", add("Div", add("Sub", score, starts), widths), np.float32(0), ONE)
    return add("Add", add("MatMul", climbed, rises[:, np.newaxis]), np.float32(y[0]))
