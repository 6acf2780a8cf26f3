"""Opening and closing the run of a step."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import mlflow
from mlflow import MlflowClient
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME, MLFLOW_RUN_NOTE

from steps.parameters.declaration import as_texts, step_name
from steps.parameters.uris import redact_credentials
from steps.runs.store import explain, store_errors
from steps.runs.terminal import echo
from steps.runs.tracking.launch_run import Launch
from steps.runs.tracking.orphans import owner
from steps.runs.tracking.step_run import StepRun
from steps.runs.tracking.tags import OUTPUTS_FILE, OWNER_TAG, STEP_TAG, WORK_TAG


@contextmanager
def open_run(values: object, launch: Launch | None, experiment_id: str) -> Iterator[StepRun]:
    """Open the run of the step that has these parameters; it ends with the step's true status.

    FINISHED where the block ends well, KILLED where a signal stopped it, else FAILED with the
    error's message as its note.
    """
    step = step_name(type(values))
    run_id = _open(step, launch, experiment_id)
    run = StepRun(run_id, experiment_id)
    try:
        # Children that the launcher starts nest under the run that is active in this process.
        mlflow.start_run(run_id=run_id)
        _log_parameters(run_id, values)
        yield run
        if run.outputs:
            MlflowClient().log_dict(run_id, run.outputs, OUTPUTS_FILE)
    except BaseException as error:
        stopped = isinstance(error, (KeyboardInterrupt, SystemExit))
        try:
            _end(run, step, launch, "KILLED" if stopped else "FAILED", note=explain(error))
        except store_errors() as further:
            # The first error is the one to report; the run is closed by the next step that starts.
            echo(f"{step}: run {run_id} could not be closed: {explain(further)}")
        raise
    _end(run, step, launch, "FINISHED")


def _open(step: str, launch: Launch | None, experiment_id: str) -> str:
    client = MlflowClient()
    tags = {STEP_TAG: step, OWNER_TAG: owner()}
    if launch and launch.adoptable:
        run = client.get_run(launch.run_id)
        for name, value in tags.items():
            client.set_tag(launch.run_id, name, value)
        # A generated name, such as wise-owl-123, has no meaning; the user's own stays.
        if re.fullmatch(r"[a-z]+-[a-z]+-\d+", run.info.run_name):
            client.set_tag(launch.run_id, MLFLOW_RUN_NAME, step)
        return launch.run_id
    inherited = dict(client.get_run(launch.run_id).data.tags if launch else resolve_tags())
    for name in (MLFLOW_RUN_NAME, MLFLOW_RUN_NOTE):
        inherited.pop(name, None)
    created = client.create_run(experiment_id, tags={**inherited, **tags}, run_name=step)
    return str(created.info.run_id)


def _log_parameters(run_id: str, values: object) -> None:
    """Log what ``mlflow run`` has not logged; the same name with another text would be refused."""
    client = MlflowClient()
    logged = client.get_run(run_id).data.params
    for name, text in as_texts(values).items():
        if name not in logged:
            client.log_param(run_id, name, redact_credentials(text))


def _end(run: StepRun, step: str, launch: Launch | None, status: str, note: str = "") -> None:
    client = MlflowClient()
    if note:
        run.tag(MLFLOW_RUN_NOTE, note)
    mlflow.end_run(status)
    # A signal may have come before the run was active here.
    client.set_terminated(run.run_id, status)
    client.delete_tag(run.run_id, OWNER_TAG)
    if launch and not launch.adoptable:
        client.set_tag(launch.run_id, MLFLOW_RUN_NAME, f"launch of {step}")
        client.set_tag(launch.run_id, WORK_TAG, run.run_id)
        link = f"#/experiments/{run.experiment_id}/runs/{run.run_id}"
        pointer = f"The work of this launch is the run [{step}]({link})."
        launch.end(status, f"{note}\n\n{pointer}".strip())
