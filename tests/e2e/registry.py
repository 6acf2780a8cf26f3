"""A registry of small models that is made once, and copies of stores."""

import shutil
from pathlib import Path

from mlflow import MlflowClient

from tests.recorded.store import relocate
from tests.serving import forge

NAME = "heart-disease-model"
KINDS = ("forest", "forest", "boosting", "forest")
"""What versions 1 to 4 are; boosting has no ONNX model. The champion is version 1."""


def forge_versions(folder: Path) -> None:
    """Make a registry with one version of each kind."""
    uri = f"sqlite:///{folder}/mlflow.db"
    for number, kind in enumerate(KINDS):
        pipeline = forge.fit(kind, seed=number)
        run, model = forge.log_run(uri, pipeline, folder, twin=kind != "boosting")
        forge.register(uri, run, model, champion=number == 0)


def copy_store(source: Path, folder: Path) -> Path:
    """Copy a folder with a tracking store, whose artifacts go with it, and return the folder."""
    others = shutil.ignore_patterns("mlflow.db")
    shutil.copytree(source, folder, symlinks=True, dirs_exist_ok=True, ignore=others)
    database = Path(shutil.copyfile(source / "mlflow.db", folder / "copied.db"))
    relocate(database, str(source), str(folder))
    database.rename(folder / "mlflow.db")
    return folder


class Registry:
    """A copy of a registry, whose artifacts are its own: a test may damage them."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.folder = copy_store(source, folder)
        self.database = folder / "mlflow.db"
        self.uri = f"sqlite:///{self.database}"

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.uri, self.uri)

    def champion(self, version: int) -> None:
        self.client.set_registered_model_alias(NAME, "champion", str(version))

    def artifacts(self, version: int) -> Path:
        found = self.client.get_model_version(NAME, str(version))
        return forge.artifact_folder(self.uri, str(found.source))
