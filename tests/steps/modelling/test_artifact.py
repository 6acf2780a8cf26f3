"""What is stored with a model: signature, example, requirements, references and facts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.models.utils import _enforce_schema
from sklearn.pipeline import Pipeline

from clinical import frame
from clinical.schema import FEATURE_NAMES, FEATURES
from steps.modelling import artifact, estimators, twin
from steps.runs.files import ROOT, sha256

Patients = tuple[pd.DataFrame, np.ndarray]
FACTS = {"name": "random_forest", "data": {"source": "synthetic"}}


def refuse(word: str) -> float:
    raise ValueError(f"{word} is no JSON")


def strict(path: Path) -> dict:
    """Read JSON as other languages do: without NaN and infinities."""
    return dict(json.loads(path.read_text(), parse_constant=refuse))


def fitted(features: pd.DataFrame, y: np.ndarray, model: str = "random_forest") -> Pipeline:
    return estimators.build(model, 5, 3, 1, 1).fit(features, y)


@pytest.fixture
def extras(sample: Patients, tmp_path: Path) -> tuple[Path, Pipeline]:
    """Return the folder of what is added to a small forest, and the forest."""
    features, y = sample
    pipeline = fitted(features, y)
    content = twin.convert(pipeline, features)
    artifact.write_extras(tmp_path, pipeline, features, FACTS, content)
    return tmp_path, pipeline


def test_the_signature_is_drawn_from_the_features() -> None:
    inputs = artifact.signature().inputs
    assert inputs.input_names() == list(FEATURE_NAMES)
    assert [column.required for column in inputs] == [not f.nullable for f in FEATURES]


def test_the_input_example_is_a_valid_patient_that_the_signature_takes() -> None:
    example = artifact.example()
    assert len(example) == 1
    frame.validate(example, require_known=FEATURE_NAMES)
    _enforce_schema(example, artifact.signature().inputs)


def test_the_requirements_are_the_pins_of_the_project_and_no_more() -> None:
    pins = artifact.pinned()
    names = [pin.split("==")[0] for pin in pins]
    assert sorted(names) == sorted(artifact.REQUIREMENTS)
    whole = (ROOT / "requirements.txt").read_text()
    assert all(f"\n{pin} \\\n" in whole.replace("[auth]", "") for pin in pins)
    assert all(re.fullmatch(r"[\w-]+==[\w.]+", pin) for pin in pins)


def test_the_files_have_the_promised_names(extras: tuple[Path, Pipeline]) -> None:
    names = {path.name for path in extras[0].iterdir() if path.is_file()}
    assert {"twin.onnx", "references.json", "model.json"} <= names


def test_the_references_repeat_what_the_pipeline_says(extras: tuple[Path, Pipeline]) -> None:
    folder, pipeline = extras
    references = strict(folder / "references.json")
    assert references["tolerance"] == 1e-5
    assert references["twin_sha256"] == sha256(folder / "twin.onnx")
    rows = np.array(references["inputs"], dtype=float)  # null becomes NaN
    assert np.isnan(rows).any()
    p = pipeline.predict_proba(pd.DataFrame(rows, columns=list(FEATURE_NAMES)))[:, 1]
    np.testing.assert_array_equal(p, references["probabilities"])
    said = twin.predict((folder / "twin.onnx").read_bytes(), rows)
    np.testing.assert_allclose(said, references["probabilities"], atol=references["tolerance"])


def test_a_model_without_a_twin_has_references_all_the_same(
    sample: Patients, tmp_path: Path
) -> None:
    features, y = sample
    pipeline = fitted(features, y, "hist_gradient_boosting")
    artifact.write_extras(tmp_path, pipeline, features, {}, twin.convert(pipeline, features))
    assert not (tmp_path / "twin.onnx").exists()
    references = strict(tmp_path / "references.json")
    assert references["twin_sha256"] is None
    assert len(references["inputs"]) == len(references["probabilities"]) > 10


def test_the_facts_are_kept_as_they_are(extras: tuple[Path, Pipeline]) -> None:
    assert strict(extras[0] / "model.json") == FACTS


def test_references_of_features_that_nobody_knew_are_strict_json(
    sample: Patients, tmp_path: Path
) -> None:
    features, y = sample
    never = features.assign(chol=np.nan, ca=np.nan)
    pipeline = fitted(never, y)
    artifact.write_extras(tmp_path, pipeline, never, FACTS, twin.convert(pipeline, never))
    strict(tmp_path / "references.json")
