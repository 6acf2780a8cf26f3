"""Reading an estimator runs nothing of what is in a model's files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from risk_model.errors import ModelError
from risk_model.serialization import PICKLE_SETTING, file_inside, read_description, read_estimator
from tests.serving import forge


def description(folder: Path, **sklearn: Any) -> Path:
    (folder / "MLmodel").write_text(json.dumps({"flavors": {"sklearn": sklearn}}))
    return folder


def skops_model(folder: Path, content: object, **more: Any) -> Path:
    import skops.io

    skops.io.dump(content, folder / "model.skops")
    known = {"pickled_model": "model.skops", "serialization_format": "skops"}
    return description(folder, **known, **more)


class _Foreign:
    """A type of which skops knows nothing."""


def test_types_that_nobody_reviewed_are_refused_though_the_model_trusts_them(
    tmp_path: Path,
) -> None:
    trusted = [f"{_Foreign.__module__}.{_Foreign.__qualname__}"]
    folder = skops_model(tmp_path, {"x": _Foreign()}, skops_trusted_types=trusted)
    with pytest.raises(ModelError, match="nobody reviewed"):
        read_estimator(folder)


def test_skops_is_read_whatever_is_said_of_pickles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PICKLE_SETTING, "false")
    rows = forge.patients(5)
    made = forge.fit("boosting")
    read = read_estimator(skops_model(tmp_path, made))
    assert forge.probabilities(read, rows).tolist() == forge.probabilities(made, rows).tolist()


def test_a_pickle_is_refused_where_pickles_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PICKLE_SETTING, "false")
    (tmp_path / "model.pkl").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="pickle"):
        read_estimator(description(tmp_path, pickled_model="model.pkl"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["../outside.skops", "/etc/passwd", "link.skops", "none.skops"])
def test_no_file_outside_of_the_models_folder_is_read(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "outside.skops").write_bytes(b"x")
    (folder / "link.skops").symlink_to(tmp_path / "outside.skops")
    description(folder, pickled_model=name, serialization_format="skops")
    with pytest.raises(ModelError, match=r"outside of its own folder|lacks the file none"):
        read_estimator(folder)
    with pytest.raises(ModelError):
        file_inside(folder, name)


@pytest.mark.parametrize("content", ["", "[]", "{", "flavors: 3", "\x00"])
def test_a_description_that_is_not_mlflows_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "MLmodel").write_text(content)
    with pytest.raises(ModelError, match="not what MLflow writes"):
        read_description(tmp_path)
