"""Reading an estimator from a stored model without running what is in its files.

MLflow itself trusts a model's own ``MLmodel``: the types that skops may build, the
folder of code that is put on the path, where the file of the estimator is. Nothing of that is
taken from a model here, so that whoever can write to a registry runs no code with its readers.
"""

import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

from clinical.schema import FEATURE_NAMES
from risk_model.errors import ModelError

PICKLE_SETTING = "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"

REVIEWED_TYPES = (
    "numpy.clip",
    "numpy.dtype",
    "numpy.expand_dims",
    "sklearn._loss._loss.CyHalfBinomialLoss",
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
)
"""What a pipeline of ours may hold beyond the types that skops trusts by itself.

Reviewed by hand: arrays and two functions of them, number types, tree structures, and plain holders
of an estimator with its calibrator (release 0.1). None of them runs code when it is built. Nothing
else is ever added without a review.
"""


def refuse_links(folder: Path) -> None:
    """Refuse a folder that holds links: their targets are not the model's files."""
    linked = next((path for path in sorted(folder.rglob("*")) if path.is_symlink()), None)
    if linked is not None:
        name = linked.relative_to(folder).as_posix()
        raise ModelError(f"The model's files must hold no links: '{name}' is one.")


def file_inside(folder: Path, name: object) -> Path:
    """Return a file of a model by the name that the model itself gives.

    Raises a `ModelError` where the name leads out of the model's folder, or there is no such file.
    """
    path = (folder / str(name)).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ModelError("The model names a file outside of its own folder.")
    if not path.is_file():
        raise ModelError("The model names a file that it does not have.")
    return path


def _read_description(folder: Path) -> dict[str, Any]:
    import yaml

    try:
        description = yaml.safe_load(file_inside(folder, "MLmodel").read_bytes())
    except (yaml.YAMLError, UnicodeDecodeError):
        description = None
    if not isinstance(description, dict) or not isinstance(description.get("flavors"), dict):
        raise ModelError("The model's file MLmodel is not what MLflow writes.")
    return description


def read_estimator(folder: Path, pickles: bool | None = None) -> Any:
    """Return the estimator of the scikit-learn flavour of a model, as MLflow stores it.

    A pickle, which runs whatever code it holds, is loaded only if `pickles` are allowed: where that
    is None, by the environment variable.

    Raises a `ModelError` with one line: there is no such flavour, it is a pickle and pickles are
    not allowed, it holds unreviewed types, or the model is for other features.
    """
    description = _read_description(folder)
    _check_signature(description)
    flavour = description["flavors"].get("sklearn")
    if not isinstance(flavour, dict):
        raise ModelError("The model has neither an ONNX model nor the scikit-learn flavour.")
    content = file_inside(folder, flavour.get("pickled_model")).read_bytes()
    if flavour.get("serialization_format") == "skops":
        return read_skops(content)
    if not (_pickles_are_allowed() if pickles is None else pickles):
        raise ModelError(
            "The model is a pickle, which runs code when it is loaded: store it in skops format, "
            f"or set {PICKLE_SETTING}=true where whoever can write to the registry may run code."
        )
    import cloudpickle  # type: ignore[import-untyped]

    return cloudpickle.loads(content)


def _pickles_are_allowed() -> bool:
    setting = os.environ.get(PICKLE_SETTING, "").lower()
    if setting not in ("", "true", "1", "false", "0"):
        raise ModelError(f"{PICKLE_SETTING} must be true, false or empty. Got {setting!r}.")
    return setting in ("true", "1")


def _check_signature(description: dict[str, Any]) -> None:
    inputs = (description.get("signature") or {}).get("inputs")
    if not inputs:
        return
    names = [column.get("name") for column in json.loads(inputs)]
    if None not in names and names != list(FEATURE_NAMES):
        raise ModelError("The model's signature is not that of the 13 features in their order.")


def read_skops(content: bytes) -> Any:
    """Load a skops file, whatever MLflow's pickle setting and the model's own list say.

    Raises a `ModelError` where it holds unreviewed types.
    """
    import skops.io

    foreign = set(skops.io.get_untrusted_types(data=content)) - set(REVIEWED_TYPES)
    if foreign:
        raise ModelError(
            f"The model holds types that nobody reviewed: {', '.join(sorted(foreign))}."
        )
    return skops.io.loads(content, trusted=list(REVIEWED_TYPES))


def read_local(folder: Path, pickles: bool | None = None) -> Any:
    """Return the estimator of model.pkl, if it is the file that its recorded SHA-256 names.

    A pickle may be loaded here unless the operator says that it may not.

    Raises a `ModelError` where it is another file, or pickles are forbidden.
    """
    if pickles is False:
        raise ModelError(f"model.pkl is a pickle, and {PICKLE_SETTING} is false.")
    import joblib

    content = file_inside(folder, "model.pkl").read_bytes()
    recorded = file_inside(folder, "model.pkl.sha256").read_text().split()[:1]
    if recorded != [hashlib.sha256(content).hexdigest()]:
        raise ModelError("model.pkl is not the file that its recorded SHA-256 names.")
    return joblib.load(io.BytesIO(content))
