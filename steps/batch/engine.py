"""A stored model as it travels to the processes that score, and what makes it answer there."""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from clinical.errors import DataError
from clinical.schema import FEATURE_NAMES
from clinical.tables import Column
from risk_model.ordering import alike
from risk_model.scoring import EXTRAS
from risk_model.stored import read_estimator

TWIN, REFERENCES = f"{EXTRAS}/twin.onnx", f"{EXTRAS}/references.json"
DEFAULT_BANDS = (("Low", 0.0), ("Moderate", 0.3), ("High", 0.7))
ROWS = 1 << 13
"""How many rows the twin is given at once, so that its intermediate results stay in the cache."""

Labels = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Packed:
    """A model as bytes: no process that scores asks the registry or the artifact store.

    Parameters
    ----------
    digest : str
        SHA-256 of the files.
    version : str
        What the output says, such as ``registry-v3``.
    bands : tuple of (str, float)
        The risk levels and where they begin, in order.
    files : dict of str to bytes
        The twin and its references; all files of a model that has no twin.
    """

    digest: str
    version: str
    bands: tuple[tuple[str, float], ...]
    files: Mapping[str, bytes]

    @property
    def engine(self) -> str:
        """What will answer."""
        return "onnx" if TWIN in self.files else "scikit-learn"


class Engine(Protocol):
    """What answers for patients."""

    def __call__(self, columns: Mapping[str, Column]) -> tuple[Labels, Column]:
        """Return predicted classes and probabilities of disease of canonical columns."""
        ...


def pack(folder: Path, facts: Mapping[str, Any], version: str) -> Packed:
    """Read a model's files."""
    names = [name for name in (TWIN, REFERENCES) if (folder / name).is_file()]
    if TWIN not in names:
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        names = [path.relative_to(folder).as_posix() for path in paths]
    files = {name: (folder / name).read_bytes() for name in names}
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
    bands = tuple((str(b["level"]), float(b["from"])) for b in facts.get("risk_bands", ()))
    return Packed(digest.hexdigest(), version, bands or DEFAULT_BANDS, files)


def carry(packed: Packed) -> Packed:
    """Return a model as it is: the task by which it comes to a worker."""
    return packed


def unpack(packed: Packed) -> Engine:
    """Return the engine of a model, which is made and checked once in each process.

    Raises
    ------
    DataError
        Where it does not answer its reference cases as when it was trained.
    """
    return _unpack(_Key(packed))


class _Key:
    """A packed model, told from others by its digest alone: the cache need not hash its files."""

    def __init__(self, packed: Packed) -> None:
        self.packed = packed

    def __hash__(self) -> int:
        return hash(self.packed.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.packed.digest == self.packed.digest


@lru_cache(maxsize=2)
def _unpack(key: _Key) -> Engine:
    files = key.packed.files
    references = json.loads(files.get(REFERENCES, b"{}"))
    if TWIN in files:
        if hashlib.sha256(files[TWIN]).hexdigest() != references.get("twin_sha256"):
            raise DataError("the model's ONNX twin is not the one that was written with it")
        engine = _onnx(files[TWIN])
    else:
        engine = _sklearn(files)
    _check(engine, references)
    return engine


def _onnx(content: bytes) -> Engine:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Work is spread over processes; the runtime's own threads made batches slower.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    outputs = ["label", "probabilities"]

    def answer(columns: Mapping[str, Column]) -> tuple[Labels, Column]:
        values = [columns[name] for name in FEATURE_NAMES]
        order = alike(values)
        matrix = np.stack(values, 1, dtype=np.float32)
        labels, said = np.empty(len(order), np.int8), np.empty(len(order))
        for start in range(0, len(order), ROWS):
            part = order[start : start + ROWS]
            labels[part], both = session.run(outputs, {"patients": matrix[part]})
            said[part] = both[:, 1]
        return labels, said

    return answer


def _sklearn(files: Mapping[str, bytes]) -> Engine:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        pipeline = read_estimator(Path(folder))

    def answer(columns: Mapping[str, Column]) -> tuple[Labels, Column]:
        frame = pd.DataFrame({name: columns[name] for name in FEATURE_NAMES}, copy=False)
        if frame.empty:  # which scikit-learn refuses
            return np.empty(0, np.int8), np.empty(0)
        said = np.asarray(pipeline.predict_proba(frame)[:, 1], dtype=np.float64)
        # As scikit-learn's own predict: the first of equal probabilities wins.
        return (said > 0.5).astype(np.int8), said

    return answer


def _check(engine: Engine, references: Mapping[str, Any]) -> None:
    if not (inputs := references.get("inputs")):
        return
    rows = np.array(inputs, dtype=np.float64)  # None becomes NaN
    _, said = engine(dict(zip(FEATURE_NAMES, rows.T, strict=True)))
    worst = np.abs(said - np.array(references["probabilities"])).max()
    if not worst <= float(references.get("tolerance", math.nan)):
        raise DataError("the model does not answer its reference cases as when it was trained")
