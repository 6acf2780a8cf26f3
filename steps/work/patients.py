"""Reading prepared patients, and noting on the run what was read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mlflow.entities import Run

from clinical.codings.definitions import AUTO, CANONICAL
from clinical.hospitals import Cohort
from clinical.preparation import prepare
from steps.modelling.facts import Input
from steps.parameters.entry_points import Sweep, Train
from steps.runs.files import sha256
from steps.runs.launching import input_run
from steps.runs.lineage import other_hospitals
from steps.runs.reuse import data_output, fetch_output, work_key
from steps.runs.tracking.datasets import log_dataset
from steps.runs.tracking.finished import artifact_uri
from steps.runs.tracking.step_run import StepRun
from steps.runs.tracking.tags import DIGEST_TAG, INPUT_TAG, KEY_TAG, SOURCE_TAG


def read_patients(run: StepRun, values: Train | Sweep, given: Run | None) -> Input:
    """Return the prepared patients and what is known of them; note it on the run of a step."""
    elsewhere: list[Cohort] = []
    coding = AUTO
    if given is None and values.data:
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
    run.tag(SOURCE_TAG, source)
    run.tag(KEY_TAG, work_key(replace(values, data=data)) or "")
    patients, digest = prepare(file, file.name, coding).frame, sha256(file)
    run.tag(DIGEST_TAG, digest)
    log_dataset(run, patients, uri=uri, digest=digest)
    return Input(patients, data, source, digest, elsewhere)
