"""A stored model, loaded: its engine and its metadata."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clinical.schema import FEATURE_NAMES
from risk_model import bands, checks
from risk_model.cautions import Cautions, unknown_findings
from risk_model.engines import Engine, OnnxEngine, Probabilities, SklearnEngine, score_many
from risk_model.errors import ModelError
from risk_model.layout import StoredFiles, open_folder
from risk_model.metadata import Metadata
from risk_model.serialization import read_estimator, read_local

if TYPE_CHECKING:
    import pandas as pd


LOCAL = "local-pickle"
"""The version of the service's local file of last resort, and of nothing else."""


@dataclass(frozen=True)
class Origin:
    """Where a model comes from."""

    key: str = ""  # names its content: a candidate of the same key is the same model
    version: str = ""  # registry-v3, run-<id>, local-pickle
    source: str = ""  # alias champion, stage Production, latest train run
    directory: str = ""  # the model's files on this host
    tags: dict[str, str] = field(default_factory=dict)  # of the registered version
    run_id: str = ""  # as the registry says; may be empty


class Model:
    """An engine with everything that answers need to know about it."""

    def __init__(self, engine: Engine, origin: Origin, metadata: Metadata) -> None:
        self.engine = engine
        self.origin = origin
        self.metadata = metadata
        self.bands = metadata.bands
        self.cautions = Cautions(metadata)
        self.unknown = unknown_findings(metadata)
        self.reference = metadata.reference_values
        self.data_source = metadata.source
        self.synthetic = self.data_source == "synthetic"

    def risk_level(self, probability: float) -> str:
        """Return the name of the band that a probability of disease falls in."""
        return bands.risk_level(self.bands, probability)

    def moved(self, origin: Origin) -> Model:
        """Return the same model under another origin, such as new tags."""
        return Model(self.engine, origin, self.metadata)

    def probabilities(self, patients: pd.DataFrame) -> Probabilities:
        """Return the probability of disease of each patient, shape (n_patients,)."""
        columns = [patients[name].to_numpy(np.float64) for name in FEATURE_NAMES]
        return np.asarray(score_many(self.engine, columns).probabilities, dtype=np.float64)


def load(origin: Origin, pickles: bool | None = None) -> Model:
    """Load a model from its directory and check it.

    Where `pickles` does not say whether the operator allows them, the local file may be one; for
    any other model the environment decides, where the default is no.

    Raises a `ModelError` where it does not load, or answers otherwise than when it was trained.
    """
    try:
        files = open_folder(Path(origin.directory))
        is_checked = files.metadata.format > 1  # release 0.1 had no such rules
        if is_checked and origin.run_id and origin.run_id != files.metadata.run_id:
            raise ModelError("The model's files name another run than its version does.")
        engine = _engine(origin, files, pickles)
        # Of the local file, the recorded SHA-256 was checked.
        required = is_checked and origin.version != LOCAL
        checks.check_references(engine, files.references, required=required)
        checks.check_answers(engine)
    except ModelError:
        raise
    except Exception as error:
        # Whatever a damaged file makes a library raise: the old model has to go on serving.
        raise ModelError(f"The model does not load: {type(error).__name__}.") from error
    return Model(engine, origin, files.metadata)


def _engine(origin: Origin, files: StoredFiles, pickles: bool | None) -> Engine:
    if origin.version == LOCAL:
        return SklearnEngine(read_local(files.folder, pickles))
    content = files.read_onnx()
    if content is not None:
        return OnnxEngine(content)
    files.check_skops()
    return SklearnEngine(read_estimator(files.folder, pickles))
