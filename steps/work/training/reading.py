"""Reading prepared patients, and logging them as the input of a run."""

import json

from mlflow.entities import Run

from clinical import cohort
from clinical.codings.definitions import AUTO, CANONICAL
from clinical.preparation import prepare
from steps.modelling.training import Input
from steps.parameters.entry_points import Sweep, Train
from steps.runs.files import sha256
from steps.runs.tracking.datasets import as_dataset, log_dataset
from steps.runs.tracking.step_run import StepRun
from steps.runs.tracking.tags import DIGEST_TAG, ORIGINS_TAG, SOURCE_TAG
from steps.runs.tracking.training_patients import other_hospitals
from steps.work.patients import find_input, log_prepared


def read_patients(run: StepRun, values: Train | Sweep, given: Run | None) -> Input:
    """Return the prepared patients with their origin, which is logged to the run of the step."""
    file = find_input(run, values, given)
    coding, tags = (CANONICAL.name, file.before.data.tags) if file.before else (AUTO, {})
    patients, digest = prepare(file.path, file.path.name, coding).frame, sha256(file.path)
    source = cohort.source_of(patients, file.source)
    run.tag(SOURCE_TAG, source)
    run.tag(DIGEST_TAG, digest)
    if file.before is None and isinstance(values, Train):
        log_prepared(run, patients)  # as those of an earlier run are kept there
    log_dataset(run, as_dataset(patients, uri=file.uri, digest=digest), source)
    elsewhere = other_hospitals(file.before) if file.before else []
    origins = json.loads(tags.get(ORIGINS_TAG, "[]"))
    return Input(patients, file.data, source, digest, elsewhere, origins)
