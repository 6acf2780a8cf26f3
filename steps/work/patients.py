"""The files of patients that steps read and keep."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from mlflow.entities import Run

from clinical import archive
from clinical.layout import Source
from steps.parameters.entry_points import Preprocess, Sweep, Train
from steps.runs.launching import build_input
from steps.runs.reuse import work_key
from steps.runs.tracking.finished import DATA_FOLDER, artifact_uri, data_output, fetch_output
from steps.runs.tracking.step_run import StepRun
from steps.runs.tracking.tags import INPUT_TAG, KEY_TAG, SOURCE_TAG

PREPARED = f"{DATA_FOLDER}/patients.parquet"
HELD_OUT_FILE = "split/held_out.parquet"
"""The patients that a training holds out."""


class InputFile(NamedTuple):
    """A file of patients: its path, what names it to a step, where it is kept, its data source."""

    path: Path
    data: str
    uri: str
    source: str
    before: Run | None  # which keeps it


def find_input(run: StepRun, values: Preprocess | Train | Sweep, given: Run | None) -> InputFile:
    """Return the file that the parameters name, or that of the step before; note it on the run."""
    if given is None and values.data:
        file = InputFile(Path(values.data), values.data, values.data, "file", None)
    else:
        before = given or build_input(type(values), run)
        run_id, name = before.info.run_id, data_output(before)
        run.tag(INPUT_TAG, run_id)
        path, uri = fetch_output(before, name), artifact_uri(run_id, name)
        file = InputFile(path, run_id, uri, before.data.tags[SOURCE_TAG], before)
    run.tag(KEY_TAG, work_key(replace(values, data=file.data)) or "")
    return file


def open_member(path: Path) -> tuple[Source, str]:
    """Return the table of patients in a file, which may be an archive, and its name."""
    members = archive.open_source(path)
    member = archive.choose_member(members)
    return members[member], member


def log_table(run: StepRun, table: pd.DataFrame, name: str, copy: str = "") -> str:
    """Log a table as Parquet, and return its SHA-256; `name` and `copy` are as for a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, Path(name).name)
        table.to_parquet(path, index=False)
        run.log_file(path, str(Path(name).parent), copy)
    return run.outputs[name]


def log_prepared(run: StepRun, patients: pd.DataFrame, copy: str = "") -> tuple[str, str]:
    """Keep the file that the next step reads, and return its URI and SHA-256."""
    return artifact_uri(run.run_id, PREPARED), log_table(run, patients, PREPARED, copy)
