"""The patients behind a train run: all of them, those it has seen, and those of other hospitals."""

from functools import cached_property

import pandas as pd
from mlflow.entities import Run

from clinical import copies, hospitals
from clinical.schema import LABEL
from steps.runs.store import StepError
from steps.runs.tracking import finished, tags


class TrainingPatients:
    """The patients of a train run; None wherever this tracking store does not have them."""

    trained: Run | None

    @cached_property
    def held_out(self) -> pd.DataFrame | None:
        """The patients held out from training."""
        return self._split("held_out")

    @cached_property
    def training_rows(self) -> copies.Hashes | None:
        """The hashes of the patients that were trained on."""
        rows = self._split("training_rows")
        return None if rows is None else rows["row_hash"].to_numpy("uint64")

    @cached_property
    def out_of_fold(self) -> pd.DataFrame | None:
        """Every patient with the out-of-fold probability."""
        predicted, patients = self._split("out_of_fold"), self.patients
        if predicted is None or patients is None:
            return None
        hashed = patients.assign(row_hash=copies.row_hashes(patients))
        # A patient with both labels has one hash.
        return hashed.merge(predicted, on=["row_hash", LABEL.name], validate="one_to_one")

    @cached_property
    def prepared(self) -> tuple[Run, str] | None:
        """The run and the output that hold all patients."""
        if self.trained is None:
            return None
        # Those of a file are stored by the training itself.
        run = finished.input_of(self.trained) or self.trained
        name = finished.data_output(run)
        return (run, name) if name else None

    @cached_property
    def patients(self) -> pd.DataFrame | None:
        """All prepared patients, those held out among them."""
        return _table(*self.prepared) if self.prepared else None

    @cached_property
    def training(self) -> pd.DataFrame | None:
        """The patients that were trained on."""
        if self.patients is None or self.training_rows is None:
            return None
        hashes = copies.row_hashes(self.patients)
        return self.patients[copies.is_in(hashes, self.training_rows)]

    @cached_property
    def elsewhere(self) -> list[hospitals.Cohort]:
        """The patients of other hospitals that came with the data."""
        return other_hospitals(self.prepared[0]) if self.prepared else []

    def has_seen(self, patients: pd.DataFrame) -> copies.Mask:
        """Mark the patients that were trained on, and near-copies of them.

        Raises a `StepError` where the store does not hold them: then no patient can be taken for
        new.
        """
        if self.training_rows is None:
            raise StepError(
                "the tracking store does not say which patients this model was trained on (it has "
                "no split/training_rows.parquet of its run), so that none is known to be new to it"
            )
        seen = copies.is_in(copies.row_hashes(patients), self.training_rows)
        if self.training is not None:
            seen |= copies.has_near_copy(patients, self.training)
        return seen

    def _split(self, name: str) -> pd.DataFrame | None:
        return _table(self.trained, f"split/{name}.parquet") if self.trained else None


def _table(run: Run, name: str) -> pd.DataFrame | None:
    path = finished.stored_artifact(run.info.run_id, name)
    return pd.read_parquet(path) if path else None


def other_hospitals(prepared: Run) -> list[hospitals.Cohort]:
    """Return the hospitals in the archive that patients were prepared from, without their own."""
    archive = finished.archive_of(prepared)
    if archive is None:
        return []
    cohorts = hospitals.read_cohorts(finished.fetch_output(*archive))
    others = [cohort for cohort in cohorts if cohort.site != hospitals.TRAINING]
    if tags.ORIGINS_TAG not in prepared.data.tags:
        return others
    # Some of them may be among the patients by now: in none of those is it another hospital's.
    patients = pd.read_parquet(finished.fetch_output(prepared, finished.data_output(prepared)))
    new = [one.without(copies.has_near_copy(one.patients, patients)) for one in others]
    return [one for one in new if one.patients[LABEL.name].nunique() == len(LABEL.codes)]
