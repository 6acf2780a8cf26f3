"""Where a model comes from: its files, its training run, and the patients behind both."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from mlflow.artifacts import download_artifacts
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.models import Model as MlflowModel

from clinical import copies, hospitals
from clinical.hospitals import Cohort
from clinical.schema import LABEL
from risk_model.layout import open_folder
from risk_model.metadata import Metadata
from risk_model.model import Model, Origin, load
from steps.runs.reuse import DATA_FOLDER, archive_of, data_output, fetch_output, outputs
from steps.runs.store import StepError, run_or_none
from steps.runs.tracking.finished import input_of, stored_artifact
from steps.runs.tracking.tags import ORIGINS_TAG, SOURCE_TAG


@dataclass(frozen=True)
class Lineage:
    """A stored model with what is known of its making.

    Parameters
    ----------
    folder : Path
        Its files.
    metadata : Metadata
        What its files say about it; nothing for a model that this project did not make.
    trained : Run or None
        The run that trained it, where this tracking store has it.
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

    @cached_property
    def held_out(self) -> pd.DataFrame | None:
        """The patients held out from its training."""
        return self._split("held_out")

    @cached_property
    def training_rows(self) -> npt.NDArray[np.uint64] | None:
        """The hashes of the patients that it has seen; None where the store does not say."""
        rows = self._split("training_rows")
        return None if rows is None else rows["row_hash"].to_numpy(np.uint64)

    @cached_property
    def out_of_fold(self) -> pd.DataFrame | None:
        """Every patient with what a model said that had not seen them."""
        said, patients = self._split("out_of_fold"), self.patients
        if said is None or patients is None:
            return None
        hashed = patients.assign(row_hash=copies.row_hashes(patients))
        # A patient with both labels has one hash.
        return hashed.merge(said, on=["row_hash", LABEL.name], validate="one_to_one")

    @cached_property
    def prepared(self) -> tuple[Run, str] | None:
        """The run and the output that hold all its patients; None where they are not stored."""
        if self.trained is None:
            return None
        # Those of a file are stored by the training itself.
        run = input_of(self.trained) or self.trained
        stored = [name for name in outputs(run) if name.startswith(f"{DATA_FOLDER}/")]
        return (run, stored[0]) if stored else None

    @cached_property
    def patients(self) -> pd.DataFrame | None:
        """All prepared patients, those held out among them; None where they are not stored."""
        return _table(*self.prepared) if self.prepared else None

    @cached_property
    def elsewhere(self) -> list[Cohort]:
        """The patients of other hospitals that came with its data."""
        return other_hospitals(self.prepared[0]) if self.prepared else []

    def has_seen(self, patients: pd.DataFrame) -> npt.NDArray[np.bool_]:
        """Mark the patients that the model was trained on, and near-copies of them.

        Raises
        ------
        StepError
            Where the store does not say who they were: then nobody is known to be new to it.
        """
        if self.training_rows is None:
            raise StepError(
                "the tracking store does not say which patients this model was trained on (it has "
                "no split/training_rows.parquet of its run), so that none is known to be new to it"
            )
        seen = np.isin(copies.row_hashes(patients), self.training_rows)
        if self.training is not None:
            seen |= copies.has_near_copy(patients, self.training)
        return seen

    @cached_property
    def training(self) -> pd.DataFrame | None:
        """The patients that it was trained on; None where the store has not got them."""
        if self.patients is None or self.training_rows is None:
            return None
        hashes = copies.row_hashes(self.patients)
        return self.patients[np.isin(hashes, self.training_rows)]

    def _split(self, name: str) -> pd.DataFrame | None:
        return _table(self.trained, f"split/{name}.parquet") if self.trained else None


def _table(run: Run, name: str) -> pd.DataFrame | None:
    path = stored_artifact(run.info.run_id, name)
    return pd.read_parquet(path) if path else None


def of_run(trained: Run, uri: str) -> Lineage:
    """Return the lineage of the model that a train run has logged.

    Raises
    ------
    ModelError
        Where its files are not what this project writes.
    """
    folder = fetch_output(trained, uri)
    return Lineage(folder, open_folder(folder).metadata, trained)


def follow(uri: str) -> Lineage:
    """Fetch a model and find out where it comes from.

    Raises
    ------
    StepError
        Where there is no such model.
    """
    try:
        folder = Path(download_artifacts(artifact_uri=uri))
        described = MlflowModel.load(str(folder))
    except (MlflowException, OSError) as error:
        raise StepError(f"there is no model {uri}: {str(error).splitlines()[0]}") from None
    metadata = open_folder(folder).metadata
    run_id = metadata.run_id or described.run_id
    return Lineage(folder, metadata, run_or_none(run_id) if run_id else None)


def other_hospitals(prepared: Run) -> list[Cohort]:
    """Return the hospitals in the archive that patients were prepared from, without their own."""
    found = archive_of(prepared)
    if found is None:
        return []
    cohorts = hospitals.read_cohorts(fetch_output(*found))
    others = [cohort for cohort in cohorts if cohort.site != hospitals.TRAINING]
    if ORIGINS_TAG not in prepared.data.tags:
        return others
    # Some of them may be among the patients by now: in none of those is it another hospital's.
    known = pd.read_parquet(fetch_output(prepared, data_output(prepared)))
    new = [one.without(copies.has_near_copy(one.patients, known)) for one in others]
    return [one for one in new if one.patients[LABEL.name].nunique() == len(LABEL.codes)]
