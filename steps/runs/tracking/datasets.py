"""Logging the patients that a run has read, as MLflow's datasets."""

import hashlib
import warnings

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.data.dataset import Dataset
from mlflow.data.dataset_source import DatasetSource
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.pandas_dataset import from_pandas
from mlflow.exceptions import MlflowException

from clinical.schema import LABEL
from steps.runs.tracking.step_run import StepRun
from steps.runs.tracking.tags import SOURCE_TAG, STEP_TAG

PATIENTS, HELD_OUT = "heart-disease", "held-out"
"""What the prepared patients, and those of them that were held out, are called as datasets."""


def dataset_source(uri: str) -> DatasetSource | None:
    """Return MLflow's object for where a dataset is; it has none for artifacts behind a server."""
    try:
        with warnings.catch_warnings():
            # MLflow warns that two sources of the same class would do.
            warnings.simplefilter("ignore", UserWarning)
            return resolve_dataset_source(uri)
    except MlflowException:
        return None


def as_dataset(
    patients: pd.DataFrame,
    *,
    uri: str,
    name: str = PATIENTS,
    digest: str | None = None,
    targets: str | None = LABEL.name,
) -> Dataset:
    """Return a frame as MLflow's dataset.

    `uri` says where it is kept, `digest` is the file's SHA-256; by default that of
    the rows (MLflow's own takes the first 10,000 alone).
    """
    if digest is None:
        rows = pd.util.hash_pandas_object(patients, index=False)
        digest = hashlib.sha256(rows.to_numpy().tobytes()).hexdigest()
    with warnings.catch_warnings():
        # MLflow computes its digest in a way that pandas warns of.
        warnings.simplefilter("ignore", DeprecationWarning)
        return from_pandas(
            patients.reset_index(drop=True),
            source=dataset_source(uri),  # type: ignore[arg-type]
            name=name,
            targets=targets,
            digest=digest[:32],
        )


def log_dataset(run: StepRun, dataset: Dataset, source: str) -> None:
    """Log a dataset as an input of the active run, with its data source."""
    step = MlflowClient().get_run(run.run_id).data.tags[STEP_TAG]
    with warnings.catch_warnings():
        # MLflow warns that a whole-numbered column, here the label, could not hold unknown values.
        warnings.simplefilter("ignore", UserWarning)
        mlflow.log_input(dataset, context=step, tags={SOURCE_TAG: source})
    run.datasets[dataset.name] = dataset
