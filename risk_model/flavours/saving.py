"""The MLflow flavour that `train` writes: one model for scikit-learn, ONNX and python_function.

``Model.log`` takes any module with a function ``save_model`` for a flavour, and makes a logged
model of it that is linked to the run. See docs/decisions/0017-stored-model.md.
"""

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow.sklearn
import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from clinical.schema import FEATURES
from risk_model.flavours import inputs, loader, onnx_form, python_function
from risk_model.layout import write_extras
from risk_model.metadata import FORMAT, Metadata, References
from risk_model.serialization import REVIEWED_TYPES

REQUIREMENTS = ("mlflow", "numpy", "pandas", "scikit-learn", "scipy", "skops")
"""What MLflow's own tools need in order to load a model; for ONNX, those of REQUIREMENTS_ONNX."""
REQUIREMENTS_ONNX = ("onnx", "onnxruntime")


@dataclass(frozen=True)
class Contents:
    """The parts of a stored model."""

    pipeline: Any  # of scikit-learn, fitted
    onnx: bytes | None  # the same as an ONNX model, where it has that form
    metadata: Metadata
    references: References
    cards: list[Path] = field(default_factory=list)  # the files of its card


def log(name: str, contents: Contents, pins: str, tags: dict[str, str]) -> str:
    """Log a model to the active run, and return its URI, ``models:/m-<id>``.

    By its name, such as ``random_forest_model``, ``runs:/<run>/<name>`` resolves. `pins` is the
    content of requirements.txt, from which the model's own are taken.
    """
    info = Model.log(
        None,
        sys.modules[__name__],
        name=name,
        tags=tags,
        contents=contents,
        pip_requirements=requirements(pins, onnx_form=contents.onnx is not None),
        # MLflow would load the model to try the example, and put its code on our path.
        validate_serving_input=False,
    )
    return f"models:/{info.model_id}"


def requirements(pins: str, *, onnx_form: bool) -> list[str]:
    """Return what a model needs, as the content of requirements.txt pins it."""
    needed = {*REQUIREMENTS, *(REQUIREMENTS_ONNX if onnx_form else ())}
    pinned = re.findall(r"^([\w-]+)(?:\[\S+\])?(==\S+)", pins, re.MULTILINE)
    return [name + version for name, version in pinned if name in needed]


def save_model(
    path: str,
    contents: Contents,
    pip_requirements: list[str],
    mlflow_model: Model | None = None,
    **_: Any,
) -> None:
    """Write a model into a folder that does not exist yet."""
    folder, model = Path(path), mlflow_model or Model()
    mlflow.sklearn.save_model(
        contents.pipeline,
        path,
        mlflow_model=model,
        serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_SKOPS,
        skops_trusted_types=list(REVIEWED_TYPES),
        signature=signature(),
        input_example=example(),
        pip_requirements=pip_requirements,
        metadata={"format": FORMAT, "description": inputs.described()},
    )
    if contents.onnx is not None:
        onnx_form.add(folder, model, contents.onnx, contents.metadata)
    loader.add(folder, model)
    write_extras(folder, contents.metadata, contents.references, contents.cards)
    model.model_size_bytes = sum(file.stat().st_size for file in folder.rglob("*"))
    model.save(str(folder / "MLmodel"))


def signature() -> ModelSignature:
    """Return the signature: the outputs alone.

    With inputs, MLflow would refuse whole numbers for fractions, and answer a bad value with the
    patient's row. The python_function checks its input itself.
    """
    kinds = (DataType.double, DataType.long, DataType.string)
    columns = zip(python_function.OUTPUTS, kinds, strict=True)
    return ModelSignature(outputs=Schema([ColSpec(kind, name) for name, kind in columns]))


def example() -> pd.DataFrame:
    """Return the input example: one valid patient, made up of FEATURES' examples."""
    return pd.DataFrame([{feature.name: float(feature.example) for feature in FEATURES}])
