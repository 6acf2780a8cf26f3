"""The MLflow flavour that `train` writes: one model for scikit-learn, ONNX and python_function.

``Model.log`` takes any module with a function ``save_model`` for a flavour, and makes a logged
model of it that is linked to the run. See docs/decisions/0017-stored-model.md.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import mlflow.sklearn
import onnx
import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from clinical.schema import FEATURES
from risk_model.engines import INPUT, OUTPUTS
from risk_model.flavours import inputs, python_function
from risk_model.layout import ONNX, write_extras
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
        _add_onnx(folder, model, contents.onnx, contents.metadata)
    _add_loader(folder, model)
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


def _add_onnx(folder: Path, model: Model, content: bytes, metadata: Metadata) -> None:
    """Add MLflow's own ONNX flavour, with named axes, features, format and run as metadata."""
    form = onnx.load_model_from_string(content)
    for value in (*form.graph.input, *form.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = INPUT
    form.model_version = FORMAT
    form.doc_string = inputs.described()
    properties = {
        "format": str(FORMAT),
        "run_id": metadata.run_id,
        "input": INPUT,
        "outputs": ",".join(OUTPUTS),
        "features": ",".join(feature.name for feature in FEATURES),
        "definition": json.dumps(inputs.features()),
    }
    onnx.helper.set_model_props(form, properties)
    onnx.checker.check_model(form)
    (folder / ONNX).write_bytes(form.SerializeToString())
    model.add_flavor(
        "onnx",
        onnx_version=onnx.__version__,
        data=ONNX,
        providers=["CPUExecutionProvider"],
        onnx_session_options={"intra_op_num_threads": 1, "inter_op_num_threads": 1},
        code=None,
    )


def _add_loader(folder: Path, model: Model) -> None:
    """Add the python_function's code and definition, by a name that no other content has.

    A process imports a module of one name once: a second model would get the first one's loader.
    """
    definition = {"features": inputs.features(), "reviewed_types": REVIEWED_TYPES}
    texts = {
        ".py": Path(python_function.__file__).read_text("utf-8"),
        ".json": json.dumps(definition, indent=1),
    }
    digest = hashlib.sha256("\0".join(texts.values()).encode()).hexdigest()
    name = f"heart_disease_model_{digest[:12]}"
    (folder / "code").mkdir()
    for suffix, text in texts.items():
        (folder / "code" / f"{name}{suffix}").write_text(text, "utf-8")
    mlflow.pyfunc.add_to_model(
        model,
        loader_module=name,
        code="code",
        conda_env="conda.yaml",
        python_env="python_env.yaml",
        model_config={"output": None},
    )
