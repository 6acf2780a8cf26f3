"""Loading and checking a model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clinical.schema import FEATURES
from serving.errors import ModelError
from serving.model import Model, Origin, load
from tests.conftest import ROOT
from tests.serving import forge


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "copy"))


def open_model(folder: Path) -> Model:
    return load(Origin("key", "registry-v1", "alias champion", str(folder)))


def open_local(folder: Path, pickles: bool | None = None) -> Model:
    return load(Origin("key", "local-pickle", "local file", str(folder)), pickles)


def change(folder: Path, name: str, **parts: Any) -> None:
    path = folder / "extra_files" / name
    path.write_text(json.dumps(json.loads(path.read_text()) | parts))


def test_a_twin_gives_the_pipelines_scores(folder: Path, pipeline: Any) -> None:
    rows = forge.patients(100, seed=11, unknown=0.3)
    scores = open_model(folder).engine.score(rows)
    expected = forge.probabilities(pipeline, rows)
    assert np.abs(scores.probabilities - expected).max() <= 1e-5
    assert (scores.labels == (expected > 0.5)).all()


@pytest.mark.parametrize(
    "damage",
    [
        lambda extra: (extra / "twin.onnx").write_bytes(b"x"),
        lambda extra: (extra / "twin.onnx").unlink(),
        lambda extra: (extra / "references.json").write_text("{"),
        lambda extra: (extra / "references.json").write_text("[]"),
        lambda extra: (extra / "model.json").write_text("{"),
        lambda extra: shutil.rmtree(extra.parent),
    ],
    ids=range(6),
)
def test_a_damaged_model_is_refused(folder: Path, damage: Any) -> None:
    damage(folder / "extra_files")
    with pytest.raises(ModelError):
        open_model(folder)


@pytest.mark.parametrize(
    "wrong", [{"probabilities": [0.5] * 20}, {"probabilities": [0.5]}, {"tolerance": 0.0}]
)
def test_a_model_that_misses_its_references_is_refused(folder: Path, wrong: dict[str, Any]) -> None:
    change(folder, "references.json", **wrong)
    with pytest.raises(ModelError):
        open_model(folder)


def test_bands_and_limits_have_defaults(folder: Path) -> None:
    (folder / "extra_files" / "model.json").unlink()
    model = open_model(folder)
    assert [model.risk_level(p) for p in (0.0, 0.29, 0.3, 0.69, 0.7, 1.0)] == [
        "Low", "Low", "Moderate", "Moderate", "High", "High",
    ]  # fmt: skip
    assert model.data_source == "unknown"
    assert model.seen == (None,) * 13


def test_a_pickle_is_loaded_only_if_it_is_the_recorded_one(tmp_path: Path) -> None:
    model = open_local(local_model(tmp_path, forge.fit("logistic")))
    assert model.engine.name == "scikit-learn"
    label, probability = model.engine.score_one([1.0] * 13)
    assert label == int(probability > 0.5)
    (tmp_path / "model.pkl.sha256").write_text(f"{'0' * 64}  model.pkl\n")
    with pytest.raises(ModelError, match="recorded SHA-256"):
        open_local(tmp_path)


def local_model(folder: Path, estimator: Any) -> Path:
    """Write an estimator as the local file of last resort."""
    import hashlib

    import joblib

    path = folder / "model.pkl"
    joblib.dump(estimator, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "model.pkl.sha256").write_text(f"{digest}  model.pkl\n")
    return folder


def test_a_model_that_takes_no_unknown_values_is_refused(tmp_path: Path) -> None:
    import pandas as pd
    from sklearn.linear_model import LogisticRegression

    rows = forge.patients(100, unknown=0)
    frame = pd.DataFrame(rows, columns=[feature.name for feature in FEATURES])
    bare = LogisticRegression(max_iter=10_000).fit(frame, forge.labels(rows))
    with pytest.raises(ModelError, match="no unknown values"):
        open_local(local_model(tmp_path, bare))


class _Undecided:
    """An estimator whose probabilities are none."""

    classes_ = (0, 1)

    def predict_proba(self, frame: Any) -> Any:
        return np.full((len(frame), 2), np.nan)


def test_a_model_whose_probabilities_are_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="a probability that is none"):
        open_local(local_model(tmp_path, _Undecided()))


def test_a_skops_file_with_types_that_nobody_reviewed_is_refused(tmp_path: Path) -> None:
    import skops.io

    skops.io.dump({"x": _Foreign()}, tmp_path / "model.skops")
    description = {
        "flavors": {"sklearn": {"pickled_model": "model.skops", "serialization_format": "skops"}}
    }
    (tmp_path / "MLmodel").write_text(json.dumps(description))
    with pytest.raises(ModelError, match="nobody reviewed"):
        open_model(tmp_path)


class _Foreign:
    """A type of which skops knows nothing."""


@pytest.mark.parametrize(
    ("inputs", "flavours", "words"),
    [
        ([{"name": "a"}], {"sklearn": {}}, "signature"),
        ([{"name": None}], {"python_function": {}}, "neither"),
    ],
)
def test_a_foreign_model_is_refused_in_words(
    tmp_path: Path, inputs: Any, flavours: Any, words: str
) -> None:
    description = {"flavors": flavours, "signature": {"inputs": json.dumps(inputs)}}
    (tmp_path / "MLmodel").write_text(json.dumps(description))
    with pytest.raises(ModelError, match=words):
        open_model(tmp_path)


@pytest.mark.parametrize(
    "words",
    ["from serving.model import import_runtime; import_runtime()", "import steps, onnxruntime"],
)
def test_the_runtime_starts_no_thread_that_reports_to_its_maker(words: str) -> None:
    count = "len(os.listdir('/proc/self/task'))"
    code = f"import os, numpy; before = {count}; {words}; assert {count} == before"
    env = {k: v for k, v in os.environ.items() if not k.startswith("ORT_")}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, check=True, timeout=60)


def test_no_pickle_is_loaded_where_the_operator_forbids_it(tmp_path: Path) -> None:
    folder = local_model(tmp_path, forge.fit("logistic"))
    with pytest.raises(ModelError, match="MLFLOW_ALLOW_PICKLE_DESERIALIZATION is false"):
        open_local(folder, pickles=False)


class _Trap:
    """A pickle that leaves a trace where it is loaded."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("described", [True, False])
def test_a_pickle_of_the_registry_is_refused_even_if_it_looks_like_the_local_file(
    tmp_path: Path, described: bool
) -> None:
    trace = tmp_path / "was here"
    folder = local_model(tmp_path, _Trap(trace))
    if described:
        flavour = {"pickled_model": "model.pkl", "serialization_format": "cloudpickle"}
        (folder / "MLmodel").write_text(json.dumps({"flavors": {"sklearn": flavour}}))
    for version in ("registry-v1", "run-local-pickle", "path-local-pickle"):
        with pytest.raises(ModelError, match="is a pickle" if described else "does not have"):
            load(Origin("key", version, "alias champion", str(folder)))
    assert not trace.exists()
