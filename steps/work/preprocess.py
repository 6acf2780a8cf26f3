"""Preprocessing: store the prepared patients, and a report of the changes."""

import json
from pathlib import Path

from mlflow.entities import Run

from clinical import cohort
from clinical.codings.columns import list_names
from clinical.preparation import Prepared, extend, prepare
from steps.parameters.entry_points import Preprocess
from steps.reports import data_report
from steps.runs import files, launching
from steps.runs.terminal import echo
from steps.runs.tracking.datasets import as_dataset, log_dataset
from steps.runs.tracking.step_run import StepRun, Work
from steps.runs.tracking.tags import DIGEST_TAG, ORIGINS_TAG, SOURCE_TAG
from steps.work.patients import find_input, log_prepared, open_member


def preprocess(run: StepRun, values: Preprocess, given: Run | None) -> None:
    """Store the prepared patients as Parquet, and the data report beside them."""
    file = find_input(run, values, given)
    prepared = prepare(*open_member(file.path), values.coding)
    source = cohort.source_of(prepared.frame, file.source)
    run.rename(source)
    run.tag(SOURCE_TAG, source)
    if values.extra:
        prepared = add(run, prepared, files.sha256(file.path), Path(values.extra), source)
    uri, digest = log_prepared(run, prepared.frame, copy="data")
    run.tag(DIGEST_TAG, digest)
    log_dataset(run, as_dataset(prepared.frame, uri=uri, digest=digest), source)
    run.log_text("data_report.json", json.dumps(prepared.report, indent=2) + "\n", copy="data")
    run.log_text("data_report.html", data_report.draw(prepared.report, prepared.frame), copy="data")
    if unused := prepared.report["ignored"]:
        echo(f"preprocess: columns that are not used: {list_names(unused)}")
    echo(f"preprocess: {len(prepared.frame)} patients kept; data/data_report.html tells the rest")


def add(run: StepRun, prepared: Prepared, digest: str, extra: Path, source: str) -> Prepared:
    """Return the patients of a file with those of a further one, and note where each are from."""
    further, its = prepare(extra, extra.name), files.sha256(extra)
    both = extend(prepared, further)
    kept, copies = (both.report["extra"][name] for name in ("kept", "near_copies"))
    origins = [
        {"source": source, "digest": digest, "patients": len(prepared.frame)},
        {"source": "file", "digest": its, "patients": kept},
    ]
    run.tag(ORIGINS_TAG, json.dumps(origins))
    log_dataset(run, as_dataset(further.frame, uri=str(extra), name="extra", digest=its), "file")
    echo(f"preprocess: {kept} patients of {extra.name} are added, {copies} near-copies are not")
    return both


WORK = Work(preprocess, launching.named_input)
