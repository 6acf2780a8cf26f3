"""Bring the patients' data in: from UCI, a file, a URL, or the synthetic sample."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from clinical import archive, cohort
from clinical.patients import read_patients
from risk_model.locations import file_path
from steps.runs.files import ROOT, place, sha256
from steps.runs.parameters import shown
from steps.runs.reuse import DATA_FOLDER, work_key
from steps.runs.running import Values, run_step
from steps.runs.sources import UCI_DIGEST, UnreachableError, fetch_url, file_name, plan, uci_url
from steps.runs.tracking import KEY_TAG, SOURCE_TAG, StepRun, say

SAMPLE_ROWS = 303
SAMPLE_SEED = 42
SAMPLE_NAME = "synthetic.data"

CURE = "give the file itself, source=<its path>, or name a mirror in HEART_UCI_URL"
NO_PATIENTS = """\
========================================================================
  NO REAL PATIENTS: UCI is out of reach, so this is the SYNTHETIC SAMPLE.
  Whatever is trained on it is a demonstration without clinical meaning.
  With a network, run this again; with the file, pass source=<its path>.
========================================================================"""


def download(run: StepRun, values: Values) -> None:
    """Store the file of a source as the run's data, after a look that it is one we can read."""
    asked, stated = str(values["source"]), str(values["coding"])
    with tempfile.TemporaryDirectory() as folder:
        source, path = fetch(asked, plan(asked), Path(folder))
        member, coding = inspect(path, stated)
        origin = origin_of(path, source)
        facts = {
            "asked": shown(asked),
            "source": shown(source),
            "origin": origin,
            "file": path.name,
            "member": member,
            "coding": coding,
            "sha256": sha256(path),
            "bytes": path.stat().st_size,
        }
        about = Path(folder) / "source.json"
        about.write_text(json.dumps(facts, indent=2) + "\n")
        run.log_file(path, DATA_FOLDER)
        run.log_file(about)
        place(path, ROOT / "data" / path.name)
    run.tag(SOURCE_TAG, origin)
    # A fallback is recorded as what it is: asked again, `auto` looks for UCI again.
    run.tag(KEY_TAG, work_key("download", {"source": source, "coding": stated}) or "")
    say(f"download: {path.name} from {source} ({coding}), data.source={origin}")


def fetch(asked: str, source: str, folder: Path) -> tuple[str, Path]:
    """Get the file of a source into a folder, and return what it came from, and its path."""
    if source == "uci":
        path = folder / "heart+disease.zip"
        try:
            fetch_url(f"{uci_url()}#sha256={UCI_DIGEST}", path)
        except UnreachableError as error:
            if asked != "auto":
                raise UnreachableError(f"{error}; {CURE}") from None
            say(f"download: {error}")
            source = "sample"
        else:
            return source, path
    if source == "sample":
        if asked == "auto":
            say(NO_PATIENTS)
        path = folder / SAMPLE_NAME
        cohort.write_uci(cohort.draw(SAMPLE_ROWS, SAMPLE_SEED), path)
        return source, path
    if (path_given := file_path(source)) is not None:
        return str(path_given), path_given
    path = folder / file_name(source)
    fetch_url(source, path)
    return source, path


def inspect(path: Path, coding: str) -> tuple[str, str]:
    """Return the member that holds the patients and its coding; refuse what is not recognised."""
    members = archive.open_source(path)
    member = archive.choose_member(members)
    return member, read_patients(members[member], member, coding).coding


def origin_of(path: Path, source: str) -> str:
    """Return the value of data.source: uci, synthetic, or file for anything else."""
    if sha256(path) == UCI_DIGEST:
        return "uci"
    return "synthetic" if source == "sample" else "file"


def main() -> int:
    """Run the step from the command line."""
    return run_step("download", download)


if __name__ == "__main__":
    sys.exit(main())
