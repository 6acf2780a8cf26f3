"""Preprocessing: store the prepared patients, and a report of what was done to them."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

from mlflow.entities import Run

from clinical import archive, cohort
from clinical.codings.columns import list_names
from clinical.preparation import Prepared, extend, prepare
from risk_model.metadata import Origin
from steps.parameters.entry_points import Preprocess
from steps.reports import data_report
from steps.runs.files import sha256
from steps.runs.launching import input_run
from steps.runs.reuse import work_key
from steps.runs.terminal import echo
from steps.runs.tracking.datasets import as_dataset, log_dataset
from steps.runs.tracking.finished import DATA_FOLDER, artifact_uri, data_output, fetch_output
from steps.runs.tracking.step_run import StepRun
from steps.runs.tracking.tags import DIGEST_TAG, INPUT_TAG, KEY_TAG, ORIGINS_TAG, SOURCE_TAG


def preprocess(run: StepRun, values: Preprocess, given: Run | None) -> None:
    """Store the prepared patients as Parquet, and the data report beside them."""
    path, data, source = find_input(run, values, given)
    run.tag(KEY_TAG, work_key(replace(values, data=data)) or "")
    members = archive.open_source(path)
    member = archive.choose_member(members)
    prepared = prepare(members[member], member, values.coding)
    source = cohort.source_of(prepared.frame, source)
    run.rename(source)
    run.tag(SOURCE_TAG, source)
    if values.extra:
        prepared = add(run, prepared, sha256(path), Path(values.extra), source)
    with tempfile.TemporaryDirectory() as folder:
        patients = Path(folder, "patients.parquet")
        prepared.frame.to_parquet(patients, index=False)
        run.log_file(patients, DATA_FOLDER, copy="data")
        uri, digest = artifact_uri(run.run_id, f"{DATA_FOLDER}/{patients.name}"), sha256(patients)
        run.tag(DIGEST_TAG, digest)
        log_dataset(run, as_dataset(prepared.frame, uri=uri, digest=digest), source)
    run.log_text("data_report.json", json.dumps(prepared.report, indent=2) + "\n", copy="data")
    run.log_text("data_report.html", data_report.draw(prepared.report, prepared.frame), copy="data")
    if unused := prepared.report["ignored"]:
        echo(f"preprocess: columns that are not used: {list_names(unused)}")
    echo(f"preprocess: {len(prepared.frame)} patients kept; data/data_report.html tells the rest")


def add(run: StepRun, prepared: Prepared, digest: str, extra: Path, source: str) -> Prepared:
    """Return the patients of a file with those of a further one, and note where each are from."""
    further = prepare(extra, extra.name)
    both = extend(prepared, further)
    kept, copies = (both.report["extra"][name] for name in ("kept", "near_copies"))
    origins = [
        Origin(source=source, digest=digest, patients=len(prepared.frame)),
        Origin(source="file", digest=sha256(extra), patients=kept),
    ]
    run.tag(ORIGINS_TAG, json.dumps([part.model_dump() for part in origins]))
    extended = as_dataset(further.frame, uri=str(extra), name="extra", digest=origins[1].digest)
    log_dataset(run, extended, "file")
    echo(f"preprocess: {kept} patients of {extra.name} are added, {copies} near-copies are not")
    return both


def find_input(run: StepRun, values: Preprocess, given: Run | None) -> tuple[Path, str, str]:
    """Return the raw file, what names it (a path or a run id), and its data source."""
    if given is None and values.data:
        return Path(values.data), values.data, "file"
    before = given or input_run(Preprocess, run)
    run.tag(INPUT_TAG, before.info.run_id)
    path = fetch_output(before, data_output(before))
    return path, before.info.run_id, before.data.tags[SOURCE_TAG]
