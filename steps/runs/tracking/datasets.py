"""Logging the patients that a run has read, as MLflow's datasets."""

from __future__ import annotations

import warnings

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.data.dataset_source import DatasetSource
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.pandas_dataset import from_pandas
from mlflow.exceptions import MlflowException

from steps.runs.tracking.step_run import StepRun
from steps.runs.tracking.tags import SOURCE_TAG, STEP_TAG


def dataset_source(uri: str) -> DatasetSource | None:
    """Return MLflow's object for where a dataset is; it has none for artifacts behind a server."""
    try:
        with warnings.catch_warnings():
            # MLflow warns that two sources of the same class would do.
            warnings.simplefilter("ignore", UserWarning)
            return resolve_dataset_source(uri)
    except MlflowException:
        return None


def log_dataset(
    run: StepRun, patients: pd.DataFrame, *, uri: str, digest: str, source: str
) -> None:
    """Log a frame as an input of the active run: where it is kept, its digest, its data source."""
    with warnings.catch_warnings():
        # MLflow warns that a whole-numbered column, here the label, could not hold unknown values.
        warnings.simplefilter("ignore", UserWarning)
        dataset = from_pandas(
            patients,
            source=dataset_source(uri),  # type: ignore[arg-type]
            name="heart-disease",
            targets="disease",
            digest=digest[:32],
        )
        step = MlflowClient().get_run(run.run_id).data.tags[STEP_TAG]
        mlflow.log_input(dataset, context=step, tags={SOURCE_TAG: source})
    run.tag("data.digest", digest)
