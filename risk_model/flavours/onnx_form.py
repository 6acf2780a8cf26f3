"""A model's ONNX form: MLflow's own flavour, with its inputs as metadata."""

import json
from pathlib import Path

import onnx
from mlflow.models import Model

from risk_model.engines import INPUT, OUTPUTS
from risk_model.flavours import inputs
from risk_model.layout import ONNX
from risk_model.metadata import FORMAT, Metadata


def add(folder: Path, model: Model, content: bytes, metadata: Metadata) -> None:
    """Put an ONNX model, with named axes, features, format and run, among a model's flavours."""
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
        "features": ",".join(feature["name"] for feature in inputs.features()),
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
