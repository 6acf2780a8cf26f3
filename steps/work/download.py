"""Downloading: store the file of a source, and a description of it."""

import tempfile
from dataclasses import replace
from pathlib import Path

from clinical import cohort
from clinical.patients import read_patients
from risk_model.locations import file_path
from steps.parameters.entry_points import Download
from steps.parameters.uris import redact_credentials
from steps.runs import downloads, reuse, sources
from steps.runs.files import as_json, sha256
from steps.runs.terminal import echo
from steps.runs.tracking import finished, tags
from steps.runs.tracking.step_run import StepRun, Work
from steps.work.patients import open_member

SAMPLE_NAME = "synthetic.data"

OTHER_WAYS = "give the file itself, source=<its path>, or name a mirror in HEART_UCI_URL"
NO_PATIENTS = """\
========================================================================
  NO REAL PATIENTS: UCI is out of reach, so this is the SYNTHETIC SAMPLE.
  Whatever is trained on it is a demonstration without clinical meaning.
  With a network, run this again; with the file, pass source=<its path>.
========================================================================"""


def download(run: StepRun, values: Download, _: object) -> None:
    """Store the file of a source as the run's data, once it is one that we can read."""
    with tempfile.TemporaryDirectory() as folder:
        source, path = fetch(values.source, Path(folder))
        table, member = open_member(path)
        patients = read_patients(table, member, values.coding)
        coding, digest = patients.coding, sha256(path)
        is_uci = digest == sources.UCI_DIGEST
        origin = "uci" if is_uci else cohort.source_of(patients.frame, "file")
        description = {
            "asked": redact_credentials(values.source),
            "source": redact_credentials(source),
            "origin": origin,
            "file": path.name,
            "member": member,
            "coding": coding,
            "sha256": digest,
            "bytes": path.stat().st_size,
        }
        run.log_file(path, finished.DATA_FOLDER, copy="data")
        run.log_text("source.json", as_json(description))
    run.rename(origin)
    run.tag(tags.SOURCE_TAG, origin)
    # A fallback is recorded as the sample: the next `auto` looks for UCI again.
    run.tag(tags.KEY_TAG, reuse.work_key(replace(values, source=source)) or "")
    echo(f"download: {path.name} from {source} ({coding}), data.source={origin}")


def fetch(requested: str, folder: Path) -> tuple[str, Path]:
    """Return what the file of a source came from, and its path; it is put into a folder."""
    source = sources.resolve_auto(requested)
    if source == "uci":
        try:
            content = downloads.read_url(f"{sources.uci_url()}#sha256={sources.UCI_DIGEST}")
            return source, _written(folder / "heart+disease.zip", content)
        except downloads.UnreachableError as error:
            if requested != "auto":
                raise downloads.UnreachableError(f"{error}; {OTHER_WAYS}") from None
            echo(f"download: {error}")
            source = "sample"
    if source == "sample":
        if requested == "auto":
            echo(NO_PATIENTS)
        return source, _written(folder / SAMPLE_NAME, cohort.sample())
    if (path_given := file_path(source)) is not None:
        return str(path_given), path_given
    return source, _written(folder / downloads.file_name(source), downloads.read_url(source))


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


WORK = Work(download)
