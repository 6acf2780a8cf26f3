"""Reading prepared patients, and noting on the run what was read."""

from __future__ import annotations

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
    """Return the prepared patients and what is known of them; note it on the run of a step."""
    found = find_input(run, values, given)
    coding, tags = (CANONICAL.name, found.before.data.tags) if found.before else (AUTO, {})
    patients, digest = prepare(found.path, found.path.name, coding).frame, sha256(found.path)
    source = cohort.source_of(patients, found.source)
    run.tag(SOURCE_TAG, source)
    run.tag(DIGEST_TAG, digest)
    if found.before is None and isinstance(values, Train):
        log_prepared(run, patients)  # as those of an earlier run are kept there
    log_dataset(run, as_dataset(patients, uri=found.uri, digest=digest), source)
    elsewhere = other_hospitals(found.before) if found.before else []
    origins = json.loads(tags.get(ORIGINS_TAG, "[]"))
    return Input(patients, found.data, source, digest, elsewhere, origins)
