"""What is stored with a model: signature, example, requirements, references and facts."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.models.utils import _enforce_schema
from sklearn.pipeline import Pipeline

from clinical import frame
from clinical.schema import FEATURE_NAMES, FEATURES, LABEL
from steps import artifact, estimators, twin
from steps.files import ROOT, sha256

Patients = tuple[pd.DataFrame, np.ndarray]
ABOUT = {
    "name": "random_forest",
    "run_id": "0" * 32,
    "parameters": {"n_estimators": 5},
    "metrics": {"roc_auc": 0.9, "precision": math.nan},
    "data": {"source": "synthetic", "digest": "d", "rows": {"train": 1, "test": 1}},
}


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
    known = artifact.facts(features, pipeline, ABOUT)
    content = twin.convert(pipeline, features)
    artifact.write_extras(tmp_path, pipeline, features, known, content)
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
    whole = (ROOT / "requirements.txt").read_text().splitlines()
    assert set(pins) <= set(whole)
    assert all("==" in pin for pin in pins)


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


def test_the_facts_are_what_a_server_is_promised(
    extras: tuple[Path, Pipeline], sample: Patients
) -> None:
    known = strict(extras[0] / "model.json")
    assert known["label"] == LABEL.definition
    assert str(known["trained_at"]).endswith("+00:00")
    assert known["data"] == ABOUT["data"]
    assert set(known["git"]) == {"commit", "dirty"}
    assert list(known["seen"]) == list(FEATURE_NAMES)
    assert known["seen"]["age"]["low"] == sample[0]["age"].min()
    assert known["seen"]["age"]["high"] == sample[0]["age"].max()
    assert known["seen"]["cp"]["codes"] == [0, 1, 2, 3]
    assert known["seen"]["thal"]["fill"] in (1, 2, 3)


def test_an_undefined_figure_does_not_spoil_the_facts(extras: tuple[Path, Pipeline]) -> None:
    known = strict(extras[0] / "model.json")
    assert known["metrics"] == {"roc_auc": 0.9}


def test_features_that_nobody_knew_do_not_spoil_the_facts(sample: Patients, tmp_path: Path) -> None:
    features, y = sample
    never = features.assign(chol=np.nan, ca=np.nan)
    pipeline = fitted(never, y)
    known = artifact.facts(never, pipeline, ABOUT)
    artifact.write_extras(tmp_path, pipeline, never, known, twin.convert(pipeline, never))
    seen = strict(tmp_path / "model.json")["seen"]
    assert set(seen["chol"]) == {"fill"}
    assert seen["ca"]["codes"] == []
    strict(tmp_path / "references.json")


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    done = subprocess.run(
        ["git", "-C", folder, *who, *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_git_state_is_that_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact, "ROOT", tmp_path)
    git(tmp_path, "init", "-q")
    (tmp_path / "x").write_text("1")
    git(tmp_path, "add", "x")
    git(tmp_path, "commit", "-qm", "One")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert artifact.git_state() == {"commit": commit, "dirty": False}
    (tmp_path / "x").write_text("2")
    assert artifact.git_state() == {"commit": commit, "dirty": True}


def test_a_project_outside_of_git_has_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert artifact.git_state()["commit"] is None


def test_a_machine_without_git_has_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert artifact.git_state() == {"commit": None, "dirty": True}


@pytest.mark.parametrize(("remote", "address"), [
    ("https://example.org/clinic/heart.git", "https://example.org/clinic/heart"),
    ("https://somebody:secret@example.org/clinic/heart", "https://example.org/clinic/heart"),
    ("git@example.org:clinic/heart.git", "https://example.org/clinic/heart"),
    ("ssh://git@example.org/clinic/heart.git", "https://example.org/clinic/heart"),
    ("/home/somebody/heart", None),
    ("file:///home/somebody/heart", None),
])  # fmt: skip
def test_the_repository_is_named_without_passwords_and_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remote: str, address: str | None
) -> None:
    monkeypatch.setattr(artifact, "ROOT", tmp_path)
    git(tmp_path, "init", "-q")
    assert artifact.repository() is None
    git(tmp_path, "remote", "add", "origin", remote)
    assert artifact.repository() == address
