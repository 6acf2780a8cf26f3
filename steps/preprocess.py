"""Bring the patients to the canonical coding, clean and check them, and report what was done."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from mlflow.entities import Run

from clinical import archive
from clinical.preparation import prepare
from steps.reports import data_report
from steps.runs.files import ROOT, place, sha256
from steps.runs.launching import input_run
from steps.runs.reuse import DATA_FOLDER, data_output, fetch_output, work_key
from steps.runs.running import Values, run_step
from steps.runs.tracking import (
    INPUT_TAG,
    KEY_TAG,
    SOURCE_TAG,
    StepRun,
    artifact_uri,
    latest_or_named,
    log_dataset,
    say,
)


def preprocess(run: StepRun, values: Values, given: Run | None) -> None:
    """Store the prepared patients as Parquet, and the data report beside them."""
    path, data, source = find_input(run, values, given)
    coding = str(values["coding"])
    run.tag(SOURCE_TAG, source)
    run.tag(KEY_TAG, work_key("preprocess", {"data": data, "coding": coding}) or "")
    members = archive.open_source(path)
    member = archive.choose_member(members)
    prepared = prepare(members[member], member, coding)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        patients = folder / "patients.parquet"
        prepared.frame.to_parquet(patients, index=False)
        report = folder / "data_report.json"
        report.write_text(json.dumps(prepared.report, indent=2) + "\n")
        page = folder / "data_report.html"
        page.write_text(data_report.draw(prepared.report, prepared.frame))
        run.log_file(patients, DATA_FOLDER)
        for file in (report, page):
            run.log_file(file)
        for file in (patients, report, page):
            place(file, ROOT / "data" / file.name)
        uri = artifact_uri(run.run_id, f"{DATA_FOLDER}/{patients.name}")
        log_dataset(run, prepared.frame, uri=uri, digest=sha256(patients), source=source)
    say(f"preprocess: {len(prepared.frame)} patients kept; data/data_report.html tells the rest")


def find_input(run: StepRun, values: Values, given: Run | None) -> tuple[Path, str, str]:
    """Return the raw file, what names it (a path or a run id), and its data source."""
    if given is None and values["data"]:
        return Path(str(values["data"])), str(values["data"]), "file"
    before = given or input_run("preprocess", run.experiment_id, run)
    run.tag(INPUT_TAG, before.info.run_id)
    path = fetch_output(before, data_output(before))
    return path, before.info.run_id, before.data.tags[SOURCE_TAG]


def resolve(values: Values, experiment_id: str) -> Run | None:
    """Look up the run that `data` names; an empty one means the latest."""
    return latest_or_named("download", str(values["data"]), experiment_id)


def main() -> int:
    """Run the step from the command line."""
    return run_step("preprocess", preprocess, resolve=resolve)


if __name__ == "__main__":
    sys.exit(main())
