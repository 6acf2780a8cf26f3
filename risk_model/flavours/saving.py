"""The MLflow flavour that `train` writes: one model for scikit-learn, ONNX and python_function.

``Model.log`` takes any module with a function ``save_model`` for a flavour, and makes a logged
model of it that is linked to the run. See docs/decisions/0017-stored-model.md.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import mlflow.sklearn
import onnx
import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from clinical.schema import FEATURE_NAMES, FEATURES
from risk_model import layout
from risk_model.engines import INPUT, OUTPUTS
from risk_model.flavours import inputs, python_function
from risk_model.metadata import FORMAT, Metadata, References
from risk_model.serialization import REVIEWED_TYPES

REQUIREMENTS = ("mlflow", "numpy", "pandas", "scikit-learn", "scipy", "skops")
"""What MLflow's own tools need in order to load a model; for ONNX, those of REQUIREMENTS_ONNX."""
REQUIREMENTS_ONNX = ("onnx", "onnxruntime")


@dataclass(frozen=True)
class Contents:
    """What a stored model is made of.

    Parameters
    ----------
    pipeline : object
        The fitted scikit-learn pipeline.
    onnx : bytes or None
        The same as an ONNX model, where it has that form.
    cards : sequence of Path
        The model card's files.
    """

    pipeline: Any
    onnx: bytes | None
    metadata: Metadata
    references: References
    cards: Sequence[Path] = ()


def log(name: str, contents: Contents, pins: str, tags: Mapping[str, str]) -> str:
    """Log a model to the active run, and return its URI, ``models:/m-<id>``.

    Parameters
    ----------
    name : str
        Such as ``random_forest_model``: ``runs:/<run>/<name>`` resolves.
    pins : str
        The content of requirements.txt, from which the model's own are taken.
    """
    info = Model.log(
        None,
        sys.modules[__name__],
        name=name,
        tags=dict(tags),
        contents=contents,
        pip_requirements=requirements(pins, onnx_form=contents.onnx is not None),
        # MLflow would load the model to try the example, and put its code on our path.
        validate_serving_input=False,
    )
    return f"models:/{info.model_id}"


def requirements(pins: str, *, onnx_form: bool) -> list[str]:
    """Return what a model needs, as the content of requirements.txt pins it."""
    needed = {*REQUIREMENTS, *(REQUIREMENTS_ONNX if onnx_form else ())}
    found = re.findall(r"^([\w-]+)(?:\[\S+\])?(==\S+)", pins, re.MULTILINE)
    return [name + version for name, version in found if name in needed]


def save_model(
    path: str,
    contents: Contents,
    pip_requirements: Sequence[str],
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
        pip_requirements=list(pip_requirements),
        metadata={"format": FORMAT, "description": inputs.described()},
    )
    if contents.onnx is not None:
        _add_onnx(folder, model, contents)
    _add_python_function(folder, model)
    _add_extras(folder, contents)
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


def _add_onnx(folder: Path, model: Model, contents: Contents) -> None:
    (folder / layout.ONNX).write_bytes(described_onnx(contents.onnx or b"", contents.metadata))
    model.add_flavor(
        "onnx",
        onnx_version=onnx.__version__,
        data=layout.ONNX,
        providers=["CPUExecutionProvider"],
        onnx_session_options={"intra_op_num_threads": 1, "inter_op_num_threads": 1},
        code=None,
    )


def described_onnx(content: bytes, metadata: Metadata) -> bytes:
    """Return an ONNX model that says what it takes: named axes, features, format and run."""
    model = onnx.load_model_from_string(content)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = INPUT
    model.model_version = FORMAT
    model.doc_string = inputs.described()
    properties = {
        "format": str(FORMAT),
        "run_id": metadata.run_id,
        "input": INPUT,
        "outputs": ",".join(OUTPUTS),
        "features": ",".join(FEATURE_NAMES),
        "definition": json.dumps(inputs.features()),
    }
    onnx.helper.set_model_props(model, properties)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _add_python_function(folder: Path, model: Model) -> None:
    """Put the loader and its definition under `code`, by a name that no other content has.

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


def _add_extras(folder: Path, contents: Contents) -> None:
    """Write metadata and references, with the digests of what they are about, and the card."""
    names = [name for name in (layout.SKOPS, layout.ONNX) if (folder / name).is_file()]
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    (folder / layout.EXTRA).mkdir()
    metadata = contents.metadata.model_copy(update={"files": digests})
    (folder / layout.METADATA).write_text(metadata.as_json())
    (folder / layout.REFERENCES).write_text(contents.references.as_json())
    for card in contents.cards:
        shutil.copyfile(card, folder / layout.EXTRA / card.name)
