"""One MLflow model in three flavours, which says what it is."""

import hashlib
import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnx
import pandas as pd
import pytest
import yaml

from clinical.schema import FEATURE_NAMES
from risk_model.flavours import saving
from tests.clinical.patient_files import require_canonical
from tests.conftest import ROOT
from tests.serving import forge


@pytest.fixture(scope="module")
def described(new_folder: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((new_folder / "MLmodel").read_text()))


def test_the_onnx_model_says_what_it_takes_and_what_it_is(new_folder: Path) -> None:
    model = mlflow.onnx.load_model(str(new_folder))
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert properties["features"].split(",") == list(FEATURE_NAMES)
    assert (properties["format"], model.model_version) == ("2", 2)
    assert properties["run_id"] == "0" * 32
    assert [feature["name"] for feature in json.loads(properties["definition"])] == [*FEATURE_NAMES]
    (given,) = model.graph.input
    axes = [dim.dim_param or dim.dim_value for dim in given.type.tensor_type.shape.dim]
    assert (given.name, axes) == ("patients", ["patients", 13])
    assert {value.name for value in model.graph.output} == {"label", "probabilities"}
    for value in model.graph.output:
        assert value.type.tensor_type.shape.dim[0].dim_param == "patients"
    assert isinstance(model, onnx.ModelProto)


def test_a_model_without_an_onnx_form_has_the_other_two_flavours(tmp_path: Path) -> None:
    pipeline = forge.fit("boosting")
    folder = forge.save_format_2(tmp_path / "model", pipeline, onnx=False)
    flavours = yaml.safe_load((folder / "MLmodel").read_text())["flavors"]
    assert set(flavours) == {"sklearn", "python_function"}
    rows = forge.patients(30, unknown=0.3)
    patients = pd.DataFrame(rows, columns=list(FEATURE_NAMES))
    model = mlflow.pyfunc.load_model(str(folder))
    expected = forge.probabilities(pipeline, rows)
    np.testing.assert_array_equal(model.predict(patients)["probability"], expected)
    assert model.predict(patients[:0]).shape == (0, 3)


def test_the_signature_has_outputs_alone_and_the_input_is_described(
    described: dict[str, Any],
) -> None:
    assert described["signature"]["inputs"] is None
    assert [column["name"] for column in json.loads(described["signature"]["outputs"])] == [
        "probability", "prediction", "risk_level",
    ]  # fmt: skip
    assert all(name in described["metadata"]["description"] for name in FEATURE_NAMES)


def test_the_input_example_is_a_valid_patient(new_folder: Path) -> None:
    example = saving.example()
    assert len(example) == 1
    require_canonical(example, FEATURE_NAMES)
    assert mlflow.pyfunc.load_model(str(new_folder)).input_example.equals(example)


def test_nothing_that_is_stored_is_a_pickle(new_folder: Path) -> None:
    names = {path.name for path in new_folder.rglob("*") if path.is_file()}
    assert {"model.skops", "model.onnx", "model.json", "references.json"} <= names
    assert not [name for name in names if name.endswith((".pkl", ".joblib"))]


def test_the_loader_has_a_name_that_no_other_content_has(
    new_folder: Path, described: dict[str, Any]
) -> None:
    name = described["flavors"]["python_function"]["loader_module"]
    texts = [(new_folder / "code" / f"{name}.{kind}").read_text() for kind in ("py", "json")]
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    assert name == f"heart_disease_model_{digest[:12]}"


def test_the_requirements_are_few_and_pins_of_the_project() -> None:
    pins = (ROOT / "requirements.txt").read_text()
    lines = saving.requirements(pins, onnx_form=True)
    names = {line.split("==")[0] for line in lines}
    assert names == {*saving.REQUIREMENTS, *saving.REQUIREMENTS_ONNX}
    assert all(f"\n{line} \\\n" in pins.replace("[auth]", "") for line in lines)
    without = saving.requirements(pins, onnx_form=False)
    assert not any(line.startswith("onnx") for line in without)
