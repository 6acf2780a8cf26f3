"""Reading prepared patients, and noting on the run what was read."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
from mlflow.entities import Run

from clinical import cohort
from clinical.codings.definitions import AUTO, CANONICAL
from clinical.hospitals import Cohort
from clinical.preparation import prepare
from risk_model.metadata import Origin
from steps.modelling.facts import Input
from steps.parameters.entry_points import Sweep, Train
from steps.runs.files import sha256
from steps.runs.launching import input_run
from steps.runs.reuse import work_key
from steps.runs.tracking.datasets import as_dataset, log_dataset
from steps.runs.tracking.finished import DATA_FOLDER, artifact_uri, data_output, fetch_output
from steps.runs.tracking.step_run import StepRun
from steps.runs.tracking.tags import DIGEST_TAG, INPUT_TAG, KEY_TAG, ORIGINS_TAG, SOURCE_TAG
from steps.runs.training_patients import other_hospitals


def read_patients(run: StepRun, values: Train | Sweep, given: Run | None) -> Input:
    """Return the prepared patients and what is known of them; note it on the run of a step."""
    elsewhere: list[Cohort] = []
    origins: list[Origin] = []
    coding = AUTO
    from_file = given is None and bool(values.data)
    if from_file:
        data = uri = values.data
        file, source = Path(data), "file"
    else:
        before = given or input_run(type(values), run)
        data, source = before.info.run_id, before.data.tags[SOURCE_TAG]
        run.tag(INPUT_TAG, data)
        file, uri = (
            fetch_output(before, data_output(before)),
            artifact_uri(data, data_output(before)),
        )
        elsewhere, coding = other_hospitals(before), CANONICAL.name
        parts = json.loads(before.data.tags.get(ORIGINS_TAG, "[]"))
        origins = [Origin(**part) for part in parts]
    run.tag(KEY_TAG, work_key(replace(values, data=data)) or "")
    patients, digest = prepare(file, file.name, coding).frame, sha256(file)
    source = cohort.source_of(patients, source)
    run.tag(SOURCE_TAG, source)
    run.tag(DIGEST_TAG, digest)
    if from_file and isinstance(values, Train):
        _store(run, patients)
    log_dataset(run, as_dataset(patients, uri=uri, digest=digest), source)
    return Input(patients, data, source, digest, elsewhere, origins)


def _store(run: StepRun, patients: pd.DataFrame) -> None:
    """Keep the patients of a file with the run, as those of an earlier run are kept there."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "patients.parquet"
        patients.to_parquet(path, index=False)
        run.log_file(path, DATA_FOLDER)
