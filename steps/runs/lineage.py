"""Where a model comes from: its files, its training run, and the patients behind both."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mlflow.artifacts import download_artifacts
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.models import Model as MlflowModel

from risk_model.layout import open_folder
from risk_model.metadata import Metadata
from risk_model.model import Model, Origin, load
from steps.runs.store import StepError, run_or_none
from steps.runs.tracking.finished import fetch_output
from steps.runs.tracking.tags import SOURCE_TAG
from steps.runs.tracking.training_patients import TrainingPatients


@dataclass(frozen=True)
class Lineage(TrainingPatients):
    """A stored model with its training run and patients.

    `folder` has its files, and `metadata` those of its files: empty for a model that this
    project did not make. `trained` is the run that trained it, where this tracking store has it.
    """

    folder: Path
    metadata: Metadata
    trained: Run | None

    @property
    def source(self) -> str:
        """The value of ``data.source`` that the model was trained on."""
        if self.metadata.data:
            return self.metadata.source
        tags = self.trained.data.tags if self.trained else {}
        return str(tags.get(SOURCE_TAG, "unknown"))

    @cached_property
    def model_id(self) -> str | None:
        """The id of MLflow's logged model, where this tracking store has the run that made it."""
        return MlflowModel.load(str(self.folder)).model_id if self.trained else None

    @cached_property
    def model(self) -> Model:
        """The model itself, loaded and checked."""
        run_id = self.trained.info.run_id if self.trained else ""
        return load(Origin(directory=str(self.folder), run_id=run_id))


def of_run(trained: Run, uri: str) -> Lineage:
    """Return the lineage of the model that a train run has logged.

    Raises a `ModelError` where its files are not what this project writes.
    """
    folder = fetch_output(trained, uri)
    return Lineage(folder, open_folder(folder).metadata, trained)


def follow(uri: str) -> Lineage:
    """Fetch a model and return its lineage.

    Raises a `StepError` where there is no such model.
    """
    try:
        folder = Path(download_artifacts(artifact_uri=uri))
        described = MlflowModel.load(str(folder))
    except (MlflowException, OSError) as error:
        raise StepError(f"there is no model {uri}: {str(error).splitlines()[0]}") from None
    metadata = open_folder(folder).metadata
    run_id = metadata.run_id or described.run_id
    return Lineage(folder, metadata, run_or_none(run_id) if run_id else None)
