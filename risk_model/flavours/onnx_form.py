"""A model's ONNX form: MLflow's own flavour, with its inputs as metadata."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
from mlflow.models import Model

from risk_model.engines import INPUT, OUTPUTS
from risk_model.flavours import inputs
from risk_model.layout import ONNX
from risk_model.metadata import FORMAT, Metadata


def add(folder: Path, model: Model, content: bytes, metadata: Metadata) -> None:
    """Put an ONNX model among a model's flavours."""
    (folder / ONNX).write_bytes(described(content, metadata))
    model.add_flavor(
        "onnx",
        onnx_version=onnx.__version__,
        data=ONNX,
        providers=["CPUExecutionProvider"],
        onnx_session_options={"intra_op_num_threads": 1, "inter_op_num_threads": 1},
        code=None,
    )


def described(content: bytes, metadata: Metadata) -> bytes:
    """Return an ONNX model with metadata on its input: named axes, features, format and run."""
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
        "features": ",".join(feature["name"] for feature in inputs.features()),
        "definition": json.dumps(inputs.features()),
    }
    onnx.helper.set_model_props(model, properties)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
