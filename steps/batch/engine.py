"""A stored model as it travels to the processes that score, and what makes it answer there."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from clinical.schema import FEATURE_NAMES
from clinical.tables import Column
from risk_model import batches
from risk_model.bands import Bands
from risk_model.layout import open_folder
from risk_model.model import Origin, load

Labels = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Packed:
    """A model as bytes: no process that scores asks the registry or the artifact store.

    Parameters
    ----------
    digest : str
        SHA-256 of the files.
    version : str
        As the output names it, such as ``registry-v3``.
    bands : tuple of (str, float)
        The risk levels and where they begin, in order.
    files : dict of str to bytes
        What is needed to predict.
    engine : str
        ``onnx`` or ``scikit-learn``.
    """

    digest: str
    version: str
    bands: Bands
    files: Mapping[str, bytes]
    engine: str


class Engine(Protocol):
    """Predicts for patients in columns."""

    def __call__(self, columns: Mapping[str, Column]) -> tuple[Labels, Column]:
        """Return predicted classes and probabilities of disease of canonical columns."""
        ...


def pack(folder: Path, version: str) -> Packed:
    """Read a model's files."""
    stored = open_folder(folder)
    files = {name: (folder / name).read_bytes() for name in stored.names()}
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
    engine = "onnx" if stored.onnx else "scikit-learn"
    return Packed(digest.hexdigest(), version, stored.metadata.bands, files, engine)


def carry(packed: Packed) -> Packed:
    """Return a model as it is: the task by which it comes to a worker."""
    return packed


def unpack(packed: Packed) -> Engine:
    """Return the engine of a model, which is made and checked once in each process.

    Raises
    ------
    ModelError
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
    with tempfile.TemporaryDirectory() as folder:
        for name, content in key.packed.files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        engine = load(Origin(directory=folder)).engine

    def answer(columns: Mapping[str, Column]) -> tuple[Labels, Column]:
        scores = batches.score(engine, [columns[name] for name in FEATURE_NAMES])
        return scores.labels.astype(np.int8), np.asarray(scores.probabilities, np.float64)

    return answer
