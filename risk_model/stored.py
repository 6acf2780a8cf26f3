"""Reading the files of a stored model without running what is in them.

MLflow itself trusts what a model's own ``MLmodel`` says: the types that skops may build, the
folder of code that is put on the path, where the file of the estimator is. Nothing of that is
taken from a model here, so that whoever can write to a registry runs no code with its readers.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from clinical.errors import DataError

PICKLE_SETTING = "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"

# What a scikit-learn pipeline of ours may hold beyond the types that skops trusts by itself.
# Reviewed: arrays, number types and tree structures; none of them runs code when it is built.
REVIEWED_TYPES = frozenset(
    {
        "numpy.dtype",
        "sklearn.tree._tree.Tree",
        "sklearn._loss._loss.CyHalfBinomialLoss",
        "sklearn._loss.link.Interval",
        "sklearn._loss.link.LogitLink",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    }
)


class UnsafeModelError(DataError):
    """A stored model cannot be read, or not without running what it holds."""


def refuse_links(folder: Path) -> None:
    """Refuse a folder that holds links: what they name is none of the model's files.

    Raises
    ------
    UnsafeModelError
    """
    linked = next((path for path in sorted(folder.rglob("*")) if path.is_symlink()), None)
    if linked is not None:
        name = linked.relative_to(folder).as_posix()
        raise UnsafeModelError(f"The model's files must hold no links: '{name}' is one.")


def file_inside(folder: Path, name: object) -> Path:
    """Return a file of a model by the name that the model itself gives.

    Raises
    ------
    UnsafeModelError
        Where the name leads out of the model's folder, or there is no such file.
    """
    path = (folder / str(name)).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise UnsafeModelError("The model names a file outside of its own folder.")
    if not path.is_file():
        raise UnsafeModelError("The model names a file that it does not have.")
    return path


def read_description(folder: Path) -> dict[str, Any]:
    """Return what ``MLmodel`` says.

    Raises
    ------
    UnsafeModelError
        Where there is none, or it is not MLflow's.
    """
    import yaml

    try:
        description = yaml.safe_load(file_inside(folder, "MLmodel").read_bytes())
    except (yaml.YAMLError, UnicodeDecodeError):
        description = None
    if not isinstance(description, dict) or not isinstance(description.get("flavors"), dict):
        raise UnsafeModelError("The model's file MLmodel is not what MLflow writes.")
    return description


def read_estimator(folder: Path, pickles: bool | None = None) -> Any:
    """Return the estimator of a model's scikit-learn flavour.

    Parameters
    ----------
    folder : Path
        A model as MLflow stores it.
    pickles : bool, optional
        Whether a pickle may be loaded, which runs whatever code it holds. By default what the
        environment variable says, and no where it says nothing.

    Raises
    ------
    UnsafeModelError
        With one line: there is no such flavour, it is a pickle and pickles are not allowed, or it
        holds types that nobody reviewed.
    """
    flavour = read_description(folder)["flavors"].get("sklearn")
    if not isinstance(flavour, dict):
        raise UnsafeModelError("The model has neither an ONNX twin nor the scikit-learn flavour.")
    content = file_inside(folder, flavour.get("pickled_model")).read_bytes()
    if flavour.get("serialization_format") == "skops":
        return _read_skops(content)
    if not (_pickles_are_allowed() if pickles is None else pickles):
        raise UnsafeModelError(
            "The model is a pickle, which runs code when it is loaded: store it in skops format, "
            f"or set {PICKLE_SETTING}=true where whoever can write to the registry may run code."
        )
    import cloudpickle  # type: ignore[import-untyped]

    return cloudpickle.loads(content)


def _pickles_are_allowed() -> bool:
    """Return whether the operator has said so; nothing said is no."""
    said = os.environ.get(PICKLE_SETTING, "").lower()
    if said not in ("", "true", "1", "false", "0"):
        raise UnsafeModelError(f"{PICKLE_SETTING} must be true, false or empty. Got {said!r}.")
    return said in ("true", "1")


def _read_skops(content: bytes) -> Any:
    """Load a skops file, whatever the model says of types that may be trusted."""
    import skops.io

    foreign = set(skops.io.get_untrusted_types(data=content)) - REVIEWED_TYPES
    if foreign:
        raise UnsafeModelError(
            f"The model holds types that nobody reviewed: {', '.join(sorted(foreign))}."
        )
    return skops.io.loads(content, trusted=sorted(REVIEWED_TYPES))
