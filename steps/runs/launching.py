"""The run that a step needs of another: an equal one that is finished, the latest, or a new one."""

from mlflow.entities import Run

from steps.parameters.declaration import check, step_name
from steps.parameters.entry_points import Download, Preprocess, Register, Sweep, Train
from steps.runs import reuse
from steps.runs.children import launch
from steps.runs.terminal import echo
from steps.runs.tracking.finished import latest_or_named
from steps.runs.tracking.step_run import StepRun

BUILDS: dict[type, type] = {
    Preprocess: Download,
    Train: Preprocess,
    Sweep: Preprocess,
    Register: Train,
}
"""The step that makes the input of each step."""


def run_or_reuse(values: object, run: StepRun, cache: bool = True) -> Run:
    """Return a finished run of the step with these parameters: an equal one, or else a new one.

    Raises a `StepError` with the message of the step that failed.
    """
    step = step_name(type(values))
    key = reuse.work_key(values) if cache else None
    if key and (past := reuse.find(step, key, run.experiment_id)):
        echo(f"{step}: reused run {past.info.run_id}, nothing that decides its outcome has changed")
        run.tag(f"heart.reused.{step}", past.info.run_id)
        return past
    return launch(values, run)


def named_input(values: Preprocess | Train | Sweep, experiment_id: str) -> Run | None:
    """Return the run that `data` names, the latest of the step before this one for an empty name.

    None for a file, or where there is no such run yet.
    """
    return latest_or_named(step_name(BUILDS[type(values)]), values.data, experiment_id)


def build_input(entry: type, run: StepRun) -> Run:
    """Launch the step before this one, of which there is no finished run yet."""
    before = BUILDS[entry]
    echo(
        f"{step_name(entry)}: there is no finished {step_name(before)} run yet, "
        "so it is built first"
    )
    return launch(check(before, {}), run)
