"""A stored model is read without running what somebody has put into it."""

import hashlib
import json
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from clinical.errors import DataError
from risk_model.model import Origin, load
from risk_model.serialization import PICKLE_SETTING, REVIEWED_TYPES, read_estimator, refuse_links
from tests.serving import forge


class Trap:
    """A pickle that leaves a trace where it is loaded."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


def described(folder: Path, flavour: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "MLmodel").write_text(json.dumps({"flavors": {"sklearn": flavour}}))
    return folder


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "was here"


@pytest.fixture
def pickled(tmp_path: Path, trace: Path) -> Path:
    folder = described(tmp_path / "model", {"pickled_model": "model.pkl"})
    (folder / "model.pkl").write_bytes(pickle.dumps(Trap(trace)))
    return folder


@pytest.fixture
def skops_model(tmp_path: Path) -> Path:
    import mlflow.sklearn

    mlflow.sklearn.save_model(
        forge.fit("boosting"),
        tmp_path / "stored",
        serialization_format="skops",
        skops_trusted_types=list(REVIEWED_TYPES),
        pip_requirements=["scikit-learn"],
    )
    return tmp_path / "stored"


@pytest.mark.parametrize("said", ["", "false", "0"])
@pytest.mark.parametrize("form", [None, "pickle", "cloudpickle"])
def test_a_pickle_is_refused_unless_the_operator_has_allowed_it(
    pickled: Path, trace: Path, monkeypatch: pytest.MonkeyPatch, said: str, form: str | None
) -> None:
    monkeypatch.setenv(PICKLE_SETTING, said)
    described(pickled, {"pickled_model": "model.pkl", "serialization_format": form})
    ways = (
        lambda: read_estimator(pickled),
        lambda: load(Origin(directory=str(pickled))),  # the service, the gate, evaluate and score
    )
    for way in ways:
        with pytest.raises(DataError, match=f"is a pickle.*{PICKLE_SETTING}=true") as found:
            way()
        assert "\n" not in str(found.value)
    assert not trace.exists()


@pytest.mark.parametrize("version", ["registry-v1", "run-local-pickle", "path-local-pickle"])
@pytest.mark.parametrize("is_described", [True, False])
def test_a_pickle_of_the_registry_is_refused_even_if_it_looks_like_the_local_file(
    pickled: Path, trace: Path, version: str, is_described: bool
) -> None:
    digest = hashlib.sha256((pickled / "model.pkl").read_bytes()).hexdigest()
    (pickled / "model.pkl.sha256").write_text(f"{digest}  model.pkl\n")
    if not is_described:
        (pickled / "MLmodel").unlink()
    with pytest.raises(DataError, match="is a pickle" if is_described else "does not have"):
        load(Origin("key", version, "alias champion", str(pickled)))
    assert not trace.exists()


def test_a_pickle_is_loaded_where_the_operator_has_allowed_it_in_so_many_words(
    pickled: Path, trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PICKLE_SETTING, "perhaps")
    with pytest.raises(DataError, match="must be true, false or empty"):
        read_estimator(pickled)
    assert not trace.exists()
    monkeypatch.setenv(PICKLE_SETTING, "true")
    read_estimator(pickled)
    assert trace.exists()


@pytest.mark.parametrize("said", ["", "false", "true"])
def test_skops_is_no_pickle(skops_model: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv(PICKLE_SETTING, said)
    rows = pd.DataFrame(forge.patients(5), columns=list(forge.FEATURE_NAMES))
    found = load(Origin(directory=str(skops_model))).probabilities(rows)
    assert ((found > 0) & (found < 1)).all()


def test_a_model_does_not_say_itself_which_types_are_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import skops.io

    flavour = {"pickled_model": "model.skops", "serialization_format": "skops"}
    name = f"{__name__}.Trap"
    folder = described(tmp_path / "model", flavour | {"skops_trusted_types": [name]})
    skops.io.dump(Trap(tmp_path), folder / "model.skops")
    monkeypatch.setenv(PICKLE_SETTING, "true")
    with pytest.raises(DataError, match="types that nobody reviewed"):
        read_estimator(folder)


def test_code_that_comes_with_a_model_is_not_put_on_the_path(skops_model: Path) -> None:
    content = yaml.safe_load((skops_model / "MLmodel").read_text())
    content["flavors"]["sklearn"]["code"] = "code"
    (skops_model / "MLmodel").write_text(yaml.safe_dump(content))
    (skops_model / "code").mkdir()
    (skops_model / "code" / "numpy.py").write_text("raise SystemExit")
    before = list(sys.path)
    read_estimator(skops_model)
    assert sys.path == before


@pytest.mark.parametrize("name", ["../secret", "{tmp_path}/secret", "linked", "deep/../../secret"])
def test_no_file_outside_of_a_models_folder_is_read(
    tmp_path: Path, trace: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(PICKLE_SETTING, "true")
    (tmp_path / "secret").write_bytes(pickle.dumps(Trap(trace)))
    flavour = {"pickled_model": name.format(tmp_path=tmp_path)}
    folder = described(tmp_path / "model", flavour)
    (folder / "linked").symlink_to(tmp_path / "secret")
    with pytest.raises(DataError, match="outside of its own folder"):
        read_estimator(folder)
    assert not trace.exists()


@pytest.mark.parametrize("inside", ["card.md", "extra_files/deep/card.md"])
def test_a_folder_that_holds_a_link_is_refused_by_the_links_name(
    tmp_path: Path, inside: str
) -> None:
    (tmp_path / "secret").write_text("s")
    link = tmp_path / "model" / inside
    link.parent.mkdir(parents=True)
    refuse_links(tmp_path / "model")
    link.symlink_to(tmp_path / "secret")
    with pytest.raises(DataError, match=f"'{inside}' is one"):
        refuse_links(tmp_path / "model")


def test_a_description_that_is_missing_or_not_mlflows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not have"):
        read_estimator(tmp_path)
    for content in (b"[]", b"flavors: 3", b"a: [", b"\xff", b"!!python/object/apply:os.getcwd []"):
        (tmp_path / "MLmodel").write_bytes(content)
        with pytest.raises(DataError, match="not what MLflow writes"):
            read_estimator(tmp_path)
