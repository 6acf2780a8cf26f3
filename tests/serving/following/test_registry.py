"""What the service finds in a registry of MLflow's own."""

from pathlib import Path

import mlflow
import pytest

from risk_model.errors import ModelError
from serving.errors import RegistryError
from serving.following.registry import MlflowRegistry
from tests.serving import forge

NAME = "heart-disease-model"


@pytest.fixture
def client(tmp_path: Path) -> mlflow.MlflowClient:
    """Return a client of a registry whose alias names version 1, and whose stage version 2."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    mlflow.set_tracking_uri(uri)
    made = mlflow.MlflowClient(uri, uri)
    made.create_registered_model(NAME)
    for _ in range(2):
        made.create_model_version(NAME, f"file://{tmp_path}/model")
    made.set_registered_model_alias(NAME, "champion", "1")
    made.transition_model_version_stage(NAME, "2", "Production")
    return made


@pytest.mark.parametrize("stage", ["Production", "production"])
def test_a_stage_is_pinned_in_any_case(client: mlflow.MlflowClient, stage: str) -> None:
    (found,) = MlflowRegistry(NAME, "nothing", f"models:/{NAME}/{stage}").candidates()
    assert found.version == "registry-v2"


@pytest.mark.parametrize("form", ["{}", "file://{}", "uri"])
def test_the_model_of_a_folder_is_fetched_whatever_its_name(
    client: mlflow.MlflowClient, tmp_path: Path, form: str
) -> None:
    folder = tmp_path / "Schöne Modelle" / "heart 50%"
    folder.mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}")
    pinned = folder.as_uri() if form == "uri" else form.format(folder)
    registry = MlflowRegistry(NAME, "nothing", pinned)
    (found,) = registry.candidates()
    assert found.version == "path-heart 50%"
    (tmp_path / "cache").mkdir()
    registry.fetch(found, tmp_path / "cache")
    assert (tmp_path / "cache" / "MLmodel").read_text() == "flavors: {}"


@pytest.mark.parametrize(("pinned", "why"), [
    (f"models:/{NAME}/Staging", "in which there is no version"),
    (f"models:/{NAME}/99", "99"),
    ("{folder}", "no MLflow model"),
])  # fmt: skip
def test_a_model_that_is_not_there_is_an_error(
    client: mlflow.MlflowClient, tmp_path: Path, pinned: str, why: str
) -> None:
    uri = pinned.replace("{folder}", tmp_path.as_uri())
    with pytest.raises(RegistryError, match=why):
        list(MlflowRegistry(NAME, "nothing", uri).candidates())


def test_a_model_that_holds_a_link_is_not_fetched_by_whatever_name(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    run, model = forge.log_run(uri, forge.fit("logistic"), tmp_path / "work", plots=False)
    number = forge.register(uri, run, model)
    stored = forge.artifact_folder(uri, model)
    secret, card = tmp_path / "secret", stored / "extra_files" / "card.md"
    secret.write_text("a key")
    card.unlink()
    card.symlink_to(secret)
    for name in (str(stored), f"runs:/{run}/random_forest_model", f"models:/{NAME}/{number}"):
        registry = MlflowRegistry(NAME, "nothing", name)
        (candidate,) = registry.candidates()
        into = tmp_path / candidate.version
        into.mkdir()
        with pytest.raises(ModelError, match=r"'extra_files/card.md' is one"):
            registry.fetch(candidate, into)
        assert list(into.iterdir()) == []
    card.unlink()
    registry.fetch(candidate, into)
    assert (into / "MLmodel").is_file()
