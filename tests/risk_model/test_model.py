"""Loading and checking a model."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from risk_model.errors import ModelError
from risk_model.model import LOCAL, Model, Origin, load
from tests.conftest import ROOT
from tests.serving import forge


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "copy"))


def open_model(folder: Path) -> Model:
    return load(Origin("key", "registry-v1", "alias champion", str(folder)))


def open_local(folder: Path, pickles: bool | None = None) -> Model:
    return load(Origin("key", LOCAL, "local file", str(folder)), pickles)


def change(path: Path, **parts: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | parts))


def test_format_1_is_taken_without_references_and_whatever_run_it_names(folder: Path) -> None:
    (folder / "extra_files" / "references.json").write_text(
        json.dumps({"twin_sha256": sha256(folder / "extra_files" / "twin.onnx")})
    )
    assert load(Origin(directory=str(folder), run_id="f" * 32)).metadata.format == 1


# --- format 2 ---------------------------------------------------------------------------------


@pytest.fixture
def new(new_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(new_folder, tmp_path / "new"))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


REFERENCES, METADATA, TWIN = (
    f"extra_files/{name}" for name in ("references.json", "model.json", "twin.onnx")
)


@pytest.mark.parametrize(("stored", "damage", "words"), [
    ("folder", lambda f: (f / TWIN).write_bytes(b"x"), "ONNX model is missing or is not"),
    ("folder", lambda f: (f / TWIN).unlink(), "ONNX model is missing or"),
    ("folder", lambda f: (f / REFERENCES).write_text("{"), "references.json is not valid JSON"),
    ("folder", lambda f: (f / REFERENCES).write_text("[]"), "references.json holds no object"),
    ("folder", lambda f: (f / METADATA).write_text("{"), "model.json is not valid JSON"),
    ("folder", shutil.rmtree, "directory is missing"),
    ("folder", lambda f: change(f / REFERENCES, probabilities=[0.5]), "of its references"),
    ("new", lambda f: (f / "model.onnx").write_bytes(b"x"), "ONNX model is missing or is not"),
    ("new", lambda f: (f / "model.onnx").unlink(), "ONNX model is missing or is not"),
    ("new", lambda f: (f / REFERENCES).unlink(), "no references"),
    ("new", lambda f: change(f / REFERENCES, inputs=[], probabilities=[]), "no references"),
    ("new", lambda f: change(f / REFERENCES, probabilities=[0.5] * 20), "of its references"),
    ("new", lambda f: change(f / METADATA, run_id="1" * 32), "another run"),
    ("new", lambda f: change(f / METADATA, run_id=""), "another run"),
    ("new", lambda f: (f / "model.onnx").rename(f.parent / "x").exists()
     and (f / "model.onnx").symlink_to(f.parent / "x"), "no links"),
], ids=range(15))  # fmt: skip
def test_a_model_that_is_not_what_was_written_is_refused_in_words(
    request: Any, stored: str, damage: Callable[[Path], object], words: str
) -> None:
    folder: Path = request.getfixturevalue(stored)
    damage(folder)
    with pytest.raises(ModelError, match=words):
        load(Origin(directory=str(folder), run_id="0" * 32))


def test_another_skops_file_than_the_one_that_was_written_is_refused(tmp_path: Path) -> None:
    folder = forge.save_format_2(tmp_path / "model", forge.fit("boosting"), onnx=False)
    assert open_model(folder).engine.name == "scikit-learn"
    other = forge.save_format_2(tmp_path / "other", forge.fit("boosting", seed=1), onnx=False)
    shutil.copyfile(other / "model.skops", folder / "model.skops")
    with pytest.raises(ModelError, match=r"model\.skops is not the one"):
        open_model(folder)


def test_loading_an_onnx_model_runs_no_code_of_it_and_needs_no_scikit_learn(new: Path) -> None:
    for file in (new / "code").glob("*.py"):
        file.write_text("raise SystemExit('ran')")
    code = (
        "import sys; from risk_model.model import Origin, load; before = list(sys.path); "
        f"load(Origin(directory={str(new)!r})); assert sys.path == before; "
        "assert not {'sklearn', 'skops', 'pandas', 'mlflow', 'joblib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


# --- both -------------------------------------------------------------------------------------


def test_a_pickle_is_loaded_only_if_it_is_the_recorded_one_and_nobody_forbids_it(
    tmp_path: Path,
) -> None:
    model = open_local(forge.save_local(tmp_path, forge.fit("logistic")))
    assert model.engine.name == "scikit-learn"
    label, probability = model.engine.score_one([1.0] * 13)
    assert label == int(probability > 0.5)
    with pytest.raises(ModelError, match="MLFLOW_ALLOW_PICKLE_DESERIALIZATION is false"):
        open_local(tmp_path, pickles=False)
    (tmp_path / "model.pkl.sha256").write_text(f"{'0' * 64}  model.pkl\n")
    with pytest.raises(ModelError, match="recorded SHA-256"):
        open_local(tmp_path)


class _Undecided:
    """An estimator whose probabilities are none."""

    classes_ = (0, 1)

    def predict_proba(self, frame: Any) -> Any:
        return np.full((len(frame), 2), np.nan)


def test_a_model_whose_probabilities_are_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"a probability that is not in \[0, 1\]"):
        open_local(forge.save_local(tmp_path, _Undecided()))


@pytest.mark.parametrize(("inputs", "flavours", "words"), [
    ([{"name": "a"}], {"sklearn": {}}, "signature"),
    ([{"name": None}], {"python_function": {}}, "neither"),
])  # fmt: skip
def test_a_foreign_model_is_refused_in_words(
    tmp_path: Path, inputs: Any, flavours: Any, words: str
) -> None:
    description = {"flavors": flavours, "signature": {"inputs": json.dumps(inputs)}}
    (tmp_path / "MLmodel").write_text(json.dumps(description))
    with pytest.raises(ModelError, match=words):
        open_model(tmp_path)


@pytest.mark.parametrize("words", [
    "from risk_model.engines import import_runtime; import_runtime()", "import steps, onnxruntime",
])  # fmt: skip
def test_the_runtime_starts_no_thread_that_reports_to_its_maker(words: str) -> None:
    count = "len(os.listdir('/proc/self/task'))"
    code = f"import os, numpy; before = {count}; {words}; assert {count} == before"
    env = {k: v for k, v in os.environ.items() if not k.startswith("ORT_")}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, check=True, timeout=60)
