"""The gate's decision as it is kept: a file of its run, and a few short tags of the version."""

import textwrap

from mlflow.entities.model_registry import ModelVersion

from steps.registry import versions as registry
from steps.registry.gate import Decision
from steps.runs.store import run_or_none
from steps.runs.tracking.finished import stored_artifact
from steps.runs.tracking.step_run import StepRun

FILE = "gate_decision.json"
VERDICT_TAG, REASON_TAG, AGAINST_TAG = "gate.verdict", "gate.reason", "gate.against"
RUN_TAG = "gate.run"
"""The id of the run that has the whole decision as FILE."""
WHOLE_TAG = "gate.decision"
"""Was the whole decision as JSON, until release 0.2."""
REASON_LENGTH = 1000
"""So many characters a tag of Unity Catalog holds."""


def keep(run: StepRun, name: str, version: str, decision: Decision) -> None:
    """Keep a decision as a file of the run, and what a person reads of it as tags of the version.

    Where the tag that names the run is, so are the others, and the file.
    """
    run.log_text(FILE, decision.as_json())
    tags = {
        VERDICT_TAG: decision.verdict,
        REASON_TAG: textwrap.shorten(decision.reason, REASON_LENGTH),
        AGAINST_TAG: decision.against,
        RUN_TAG: run.run_id,
        WHOLE_TAG: "",
    }
    for tag, value in tags.items():
        registry.tag(name, version, tag, value)


def read(version: ModelVersion) -> Decision | None:
    """Return the latest decision on a version, None where there is none.

    Where its file is gone, it is made from the tags, without the rules.
    """
    tags = registry.tags_of(version)
    run_id = tags.get(RUN_TAG, "")
    path = stored_artifact(run_id, FILE) if run_id and run_or_none(run_id) else None
    text = path.read_text() if path else tags.get(WHOLE_TAG)
    if text:
        return Decision.read(text)
    if run_id:
        return Decision(tags[VERDICT_TAG], tags[REASON_TAG], tags.get(AGAINST_TAG, ""))
    return None
