"""A model as it is served: its engine, what is known about it, and the checks before it serves.

The ONNX twin runs in onnxruntime with one thread and deserialises no Python object; scikit-learn is
imported only for a model that has no twin. Either has to reproduce the reference probabilities
that were written down when it was trained.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from clinical.schema import FEATURE_NAMES, FEATURES
from risk_model.stored import PICKLE_SETTING, UnsafeModelError, read_description, read_estimator
from serving.errors import ModelError

Rows = npt.NDArray[np.float64]
EXTRA = "extra_files"
LOCAL = "local-pickle"
"""The version of the local file of last resort, and of nothing else."""
DEFAULT_BANDS: tuple[tuple[str, float], ...] = (("Low", 0.0), ("Moderate", 0.3), ("High", 0.7))


class Scores(NamedTuple):
    """What a model says of some patients.

    Parameters
    ----------
    labels : ndarray of int64, shape (n,)
        The predicted classes.
    probabilities : ndarray of float, shape (n,)
        The probabilities of disease.
    """

    labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.floating[Any]]


class Engine(Protocol):
    """What computes the scores."""

    name: str

    def score(self, rows: Rows) -> Scores:
        """Score patients given as rows of the 13 values in the order of FEATURES, NaN unknown."""
        ...

    def score_one(self, values: Sequence[float]) -> tuple[int, float]:
        """Return the predicted class and the probability of disease of one patient."""
        ...


def import_runtime() -> Any:
    """Import onnxruntime without its telemetry.

    Its variable counts before the import only. That would start a thread, which reports to its
    maker, and for which a worker forked later waits in vain when it ends.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    return onnxruntime


class OnnxEngine:
    """The ONNX twin in onnxruntime."""

    name = "onnx"

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
            raise ModelError(f"The ONNX twin does not load: {type(error).__name__}.") from error
        if not {"label", "probabilities"} <= names:
            raise ModelError("The ONNX twin lacks the outputs label and probabilities.")
        self._run = session.run
        self._outputs = ["label", "probabilities"]

    def score(self, rows: Rows) -> Scores:
        """Score patients given as rows of the 13 values in the order of FEATURES, NaN unknown."""
        labels, probabilities = self._run(self._outputs, {"patients": rows.astype(np.float32)})
        return Scores(labels, probabilities[:, 1])

    def score_one(self, values: Sequence[float]) -> tuple[int, float]:
        """Return the predicted class and the probability of disease of one patient."""
        labels, probabilities = self._run(
            self._outputs, {"patients": np.array((values,), np.float32)}
        )
        return int(labels[0]), float(probabilities[0, 1])


class SklearnEngine:
    """A fitted scikit-learn classifier, for a model without a twin."""

    name = "scikit-learn"

    def __init__(self, estimator: Any) -> None:
        if not hasattr(estimator, "predict_proba"):
            raise ModelError("The model gives no probabilities (it has no predict_proba).")
        self._estimator = estimator
        import pandas as pd

        self._frame = pd.DataFrame

    def score(self, rows: Rows) -> Scores:
        """Score patients given as rows of the 13 values in the order of FEATURES, NaN unknown."""
        frame = self._frame(rows, columns=list(FEATURE_NAMES), dtype=np.float64)
        probabilities = self._estimator.predict_proba(frame)[:, 1]
        classes = self._estimator.classes_
        # As scikit-learn's own predict: the first of equal probabilities wins.
        labels = np.where(probabilities > 0.5, classes[1], classes[0]).astype(np.int64)
        return Scores(labels, probabilities)

    def score_one(self, values: Sequence[float]) -> tuple[int, float]:
        """Return the predicted class and the probability of disease of one patient."""
        scores = self.score(np.array([values], dtype=np.float64))
        return int(scores.labels[0]), float(scores.probabilities[0])


@dataclass(frozen=True)
class Origin:
    """Where a model comes from, as the follower published it.

    Parameters
    ----------
    key : str
        Names its content: a candidate of the same key is the same model.
    version : str
        What an answer says: ``registry-v3``, ``run-<id>``, ``local-pickle``, ...
    source : str
        In words: ``alias champion``, ``stage Production``, ``latest train run``, ...
    directory : str
        The model's files on this host.
    tags : mapping of str to str
        Tags of the registered version.
    run_id : str
        The run that trained it; may be empty.
    """

    key: str
    version: str
    source: str
    directory: str
    tags: Mapping[str, str] = field(default_factory=dict)
    run_id: str = ""


@dataclass(frozen=True)
class Seen:
    """What values of a feature the model was trained on."""

    name: str
    low: float
    high: float
    codes: frozenset[float] | None
    fill: float | None
    message: str

    def warns(self, value: float) -> bool:
        """Tell whether a value is outside of what the training rows had."""
        if self.codes is not None:
            return value not in self.codes
        return not self.low <= value <= self.high


class Model:
    """An engine with everything that answers need to know about it."""

    def __init__(self, engine: Engine, origin: Origin, facts: Mapping[str, Any]) -> None:
        self.engine = engine
        self.origin = origin
        self.facts = facts
        self.bands = _bands(facts)
        self.seen = _seen(facts)
        self.reference = _reference(facts)
        self.late = _late(facts)
        self.data_source = str((facts.get("data") or {}).get("source") or "unknown")
        self.synthetic = self.data_source == "synthetic"

    def risk_level(self, probability: float) -> str:
        """Return the name of the band that a probability of disease falls in."""
        level = self.bands[0][0]
        for name, start in self.bands:
            if probability >= start:
                level = name
        return level

    def moved(self, origin: Origin) -> Model:
        """Return the same model under another origin, such as new tags."""
        return Model(self.engine, origin, self.facts)


def _bands(facts: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    try:
        bands = tuple((str(band["level"]), float(band["from"])) for band in facts["risk_bands"])
    except (KeyError, TypeError, ValueError):
        bands = ()
    return bands or DEFAULT_BANDS


def _seen(facts: Mapping[str, Any]) -> tuple[Seen | None, ...]:
    seen = facts.get("seen") or {}
    return tuple(_seen_feature(feature.name, seen.get(feature.name)) for feature in FEATURES)


def _seen_feature(name: str, entry: Mapping[str, Any] | None) -> Seen | None:
    if not isinstance(entry, Mapping):
        return None
    feature = FEATURES[FEATURE_NAMES.index(name)]
    codes = entry.get("codes")
    low, high = float(entry.get("low", feature.low)), float(entry.get("high", feature.high))
    if codes is not None:
        words = ", ".join(f"{code} ({feature.codes.get(int(code), '?')})" for code in codes)
    else:
        words = f"{low:g} to {high:g} {feature.unit}".rstrip()
    message = f"'{name}' is outside of what the model was trained on: {words}."
    fill = entry.get("fill")
    return Seen(name, low, high, None if codes is None else frozenset(codes), fill, message)


def _reference(facts: Mapping[str, Any]) -> dict[str, float] | None:
    """Return the patient with whom others are compared; None where the model names none."""
    try:
        values = facts["reference"]["values"]
        found = {name: float(values[name]) for name in FEATURE_NAMES}
    except (KeyError, TypeError, ValueError):
        return None
    return found if all(map(math.isfinite, found.values())) else None


def _late(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return, for each feature whose lack was measured, what to say where it is unknown."""
    try:
        found = facts["unknown"]
        names = [str(name) for name in found["without"]]
        without = f"{found['roc_auc']:.2f} ({found['ci_low']:.2f} to {found['ci_high']:.2f})"
        whole = f"{facts['out_of_fold']['metrics']['roc_auc']:.2f}"
    except (KeyError, TypeError, ValueError):
        return {}
    listed = " and ".join(f"'{name}'" for name in names)
    words = (
        f"The ROC AUC of this model is {whole} with {listed}, and {without} where they are "
        "unknown (cross-validated)."
    )
    return dict.fromkeys(names, words)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ModelError(f"{path.name} is not valid JSON.") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path.name} holds no object.")
    return content


def load(origin: Origin, pickles: bool | None = None) -> Model:
    """Load a model from its directory and check it against its references.

    Parameters
    ----------
    origin : Origin
    pickles : bool, optional
        What the operator says of pickles; where nothing is said, the local file may be one, a
        model from anywhere else may not.

    Raises
    ------
    ModelError
        Where it does not load, or answers its references otherwise than when it was trained.
    """
    directory = Path(origin.directory)
    if not directory.is_dir():
        raise ModelError("The model's directory is missing.")
    extra = directory / EXTRA
    try:
        references = _read_json(extra / "references.json")
        facts = _read_json(extra / "model.json")
        engine = _engine(origin, references, pickles)
        check_references(engine, references)
        check_answers(engine)
        model = Model(engine, origin, facts)
    except ModelError:
        raise
    except UnsafeModelError as error:
        raise ModelError(str(error)) from error
    except Exception as error:
        # Whatever a damaged file makes a library raise: the old model has to go on serving.
        raise ModelError(f"The model does not load: {type(error).__name__}.") from error
    return model


def _engine(origin: Origin, references: Mapping[str, Any], pickles: bool | None) -> Engine:
    directory = Path(origin.directory)
    twin = directory / EXTRA / "twin.onnx"
    expected = references.get("twin_sha256")
    if expected:
        content = twin.read_bytes() if twin.is_file() else b""
        if hashlib.sha256(content).hexdigest() != expected:
            raise ModelError("The ONNX twin is missing or is not the one that was written.")
        return OnnxEngine(content)
    if origin.version == LOCAL:
        return SklearnEngine(_read_local(directory, pickles))
    _check_signature(read_description(directory))
    return SklearnEngine(read_estimator(directory, bool(pickles)))


def _read_local(directory: Path, pickles: bool | None) -> Any:
    if pickles is False:
        raise ModelError(f"model.pkl is a pickle, and {PICKLE_SETTING} is false.")
    import joblib

    content = (directory / "model.pkl").read_bytes()
    recorded = (directory / "model.pkl.sha256").read_text().split()[0]
    if hashlib.sha256(content).hexdigest() != recorded:
        raise ModelError("model.pkl is not the file that its recorded SHA-256 names.")
    return joblib.load(io.BytesIO(content))


def _check_signature(description: Mapping[str, Any]) -> None:
    inputs = (description.get("signature") or {}).get("inputs")
    if not inputs:
        return
    names = [column.get("name") for column in json.loads(inputs)]
    if None not in names and names != list(FEATURE_NAMES):
        raise ModelError("The model's signature is not that of the 13 features in their order.")


def check_answers(engine: Engine) -> None:
    """Score a patient of whom all is known, and one of whom as little as a request may say.

    Raises
    ------
    ModelError
        Where an answer is no probability, or unknown values are not taken: a request may hold them.
    """
    known = [feature.example for feature in FEATURES]
    unknown = [math.nan if feature.nullable else feature.example for feature in FEATURES]
    answers = [engine.score_one(known)]
    try:
        answers.append(engine.score_one(unknown))
    except Exception as error:  # whatever a library says of NaN
        raise ModelError("The model takes no unknown values: it must replace them.") from error
    # Trees that are added up in float32 may exceed 1 by their rounding.
    if not all(-1e-6 <= probability <= 1 + 1e-6 for _, probability in answers):
        raise ModelError("The model gives a probability that is none.")


def check_references(engine: Engine, references: Mapping[str, Any]) -> None:
    """Score the reference patients and compare.

    Raises
    ------
    ModelError
        Where a probability differs by more than the recorded tolerance.
    """
    inputs = references.get("inputs") or []
    if not inputs:
        return
    rows = np.array(inputs, dtype=np.float64)  # None becomes NaN
    expected = np.array(references["probabilities"], dtype=np.float64)
    found = engine.score(rows).probabilities
    tolerance = float(references.get("tolerance", 1e-5))
    if found.shape != expected.shape or not np.all(np.abs(found - expected) <= tolerance):
        raise ModelError("The model does not give the probabilities of its references.")
