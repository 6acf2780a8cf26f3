"""The experiment and the run of a step, and what earlier runs have left.

``mlflow run`` opens a run before our code starts, in experiment ``Default`` unless the user chose
one. A step adopts that run where the user chose the experiment (or ``main`` did); otherwise it
works in a run of its own in the named experiment, and the launch run ends as truthfully as the
work did and points to it. See docs/decisions/0002-launch-runs.md.
"""

from __future__ import annotations

import json
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.data.dataset_source import DatasetSource
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import (
    MLFLOW_RUN_NAME,
    MLFLOW_RUN_NOTE,
)

from risk_model.locations import file_path
from steps.runs.files import sha256
from steps.runs.orphans import DEFAULT_EXPERIMENT_ID, OWNER_TAG, owner
from steps.runs.parameters import Value, shown
from steps.runs.store import (
    DATABASES,
    STORE_ERRORS,
    StepError,
    explain,
    is_absence,
    reach,
    refusal,
    run_or_none,
    scheme,
)

EXPERIMENT = "Heart Disease Prediction"
EXPERIMENT_TAGS = {
    # MLflow's pages show the runs of a model's training at once, instead of guessing.
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.note.content": "Each run `main` holds a run for each step below it; see the README.",
}

STEP_TAG = "heart.step"
KEY_TAG = "heart.key"
OUTPUTS_TAG = "heart.outputs"
WORK_TAG = "heart.run_id"
SOURCE_TAG = "data.source"
INPUT_TAG = "heart.input"


@dataclass(frozen=True)
class Launch:
    """The run that ``mlflow run`` opened for this process."""

    run_id: str
    experiment_id: str

    @property
    def adoptable(self) -> bool:
        """Whether somebody chose its experiment, so that the work belongs into this very run."""
        return self.experiment_id != DEFAULT_EXPERIMENT_ID


def take_launch() -> Launch | None:
    """Return the launch run of this process, if any, and take it out of the environment.

    Left there, MLFLOW_RUN_ID would win over everything that a step says about its runs.
    """
    run_id = os.environ.pop("MLFLOW_RUN_ID", "")
    experiment_id = os.environ.pop("MLFLOW_EXPERIMENT_ID", DEFAULT_EXPERIMENT_ID)
    if run_id:
        return Launch(run_id, experiment_id)
    if experiment_id != DEFAULT_EXPERIMENT_ID:
        os.environ["MLFLOW_EXPERIMENT_ID"] = experiment_id
    return None


def connect(launch: Launch | None) -> None:
    """Make sure that the tracking store answers, within seconds.

    Raises
    ------
    StepError
        With one line that names the store and what to do.
    """
    reach(launched=launch is not None)
    try:
        if launch:
            MlflowClient().set_tag(launch.run_id, OWNER_TAG, owner())
    except STORE_ERRORS as error:
        raise refusal(error) from None


def experiment_name() -> str:
    """Return the name of the experiment; on Databricks it is a path in the workspace."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    relative = scheme(mlflow.get_tracking_uri()) == "databricks" and not name.startswith("/")
    return f"/Shared/{name}" if relative else name


def open_experiment(launch: Launch | None) -> str:
    """Return the id of the experiment to work in; made where it does not exist yet."""
    if launch and launch.adoptable:
        return launch.experiment_id
    if chosen := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return chosen
    client = MlflowClient()
    name = experiment_name()
    if found := client.get_experiment_by_name(name):
        if found.lifecycle_stage == "deleted":
            raise StepError(
                f"the experiment '{name}' is deleted; restore it "
                f"(mlflow experiments restore --experiment-id {found.experiment_id}) "
                "or set MLFLOW_EXPERIMENT_NAME to another name"
            )
        return str(found.experiment_id)
    try:
        where = _artifact_location(name)
        return str(client.create_experiment(name, where, tags=EXPERIMENT_TAGS))
    except MlflowException:
        # Another process made it in the meantime.
        if found := client.get_experiment_by_name(name):
            return str(found.experiment_id)
        raise


def _artifact_location(name: str) -> str | None:
    """Return where a new experiment's artifacts go; None leaves it to the tracking server.

    With a database as the store, MLflow would put them below the current directory, which for a
    project from a git URL is a clone that will be deleted. They go beside Default's instead.
    """
    if scheme(mlflow.get_tracking_uri()) not in ("sqlite", *DATABASES):
        return None
    default = MlflowClient().get_experiment(DEFAULT_EXPERIMENT_ID)
    folder = re.sub(r"\W+", "-", name.lower()).strip("-")
    return f"{default.artifact_location.rsplit('/', 1)[0]}/{folder}"


@dataclass
class StepRun:
    """The open run of a step.

    Attributes
    ----------
    run_id, experiment_id : str
        Where it is recorded.
    outputs : dict of str to str
        SHA-256 of what it made, by artifact path or model URI; kept as a tag when it ends well.
    """

    run_id: str
    experiment_id: str
    outputs: dict[str, str] = field(default_factory=dict)

    def tag(self, name: str, value: object) -> None:
        """Set a tag of the run."""
        MlflowClient().set_tag(self.run_id, name, value)

    def log_file(self, path: Path, folder: str = "") -> None:
        """Log a file, or a folder's files, as artifacts, and note the digests as outputs."""
        client = MlflowClient()
        name = f"{folder}/{path.name}" if folder else path.name
        try:
            client.log_artifact(self.run_id, str(path), folder or None)
        except OSError as error:
            _discard(self.run_id, name)
            raise StepError(
                f"cannot store the artifact {name}: {error.strerror or error}"
            ) from None
        self.outputs[name] = sha256(path)


def _discard(run_id: str, name: str) -> None:
    """Take back what a failed write may have left of an artifact on a local disk."""
    root = file_path(MlflowClient().get_run(run_id).info.artifact_uri)
    if root:
        (root / name).unlink(missing_ok=True)


@contextmanager
def step_run(
    step: str, values: Mapping[str, Value], launch: Launch | None, experiment_id: str
) -> Iterator[StepRun]:
    """Open the run of a step; whatever happens, it ends with the truth.

    FINISHED where the block ends well, KILLED where a signal stopped it, else FAILED with the
    error's message as its note.
    """
    client = MlflowClient()
    run_id = _open(step, launch, experiment_id)
    work = StepRun(run_id, experiment_id)
    try:
        # Children that the launcher starts nest under the run that is active in this process.
        mlflow.start_run(run_id=run_id)
        _log_parameters(run_id, values)
        yield work
    except BaseException as error:
        stopped = isinstance(error, (KeyboardInterrupt, SystemExit))
        try:
            _end(work, launch, "KILLED" if stopped else "FAILED", note=explain(error))
        except STORE_ERRORS as further:
            # The first error is the one to tell; the run is closed by the next step that starts.
            say(f"{step}: run {run_id} could not be closed: {explain(further)}")
        raise
    client.set_tag(run_id, OUTPUTS_TAG, json.dumps(work.outputs))
    _end(work, launch, "FINISHED")


def _open(step: str, launch: Launch | None, experiment_id: str) -> str:
    client = MlflowClient()
    tags = {STEP_TAG: step, OWNER_TAG: owner()}
    if launch and launch.adoptable:
        run = client.get_run(launch.run_id)
        for name, value in tags.items():
            client.set_tag(launch.run_id, name, value)
        # A name of MLflow's making, such as wise-owl-123, says nothing; the user's own stays.
        if re.fullmatch(r"[a-z]+-[a-z]+-\d+", run.info.run_name):
            client.set_tag(launch.run_id, MLFLOW_RUN_NAME, step)
        return launch.run_id
    inherited = _launch_tags(launch) if launch else _own_tags()
    return str(
        client.create_run(experiment_id, tags={**inherited, **tags}, run_name=step).info.run_id
    )


def _launch_tags(launch: Launch) -> dict[str, str]:
    tags = MlflowClient().get_run(launch.run_id).data.tags
    return {k: v for k, v in tags.items() if k not in (MLFLOW_RUN_NAME, MLFLOW_RUN_NOTE)}


def _own_tags() -> dict[str, str]:
    from mlflow.tracking.context.registry import resolve_tags

    return dict(resolve_tags())


def _log_parameters(run_id: str, values: Mapping[str, Value]) -> None:
    """Log what ``mlflow run`` has not logged; the same name with another text would be refused."""
    client = MlflowClient()
    known = client.get_run(run_id).data.params
    for name, value in values.items():
        if name not in known:
            client.log_param(run_id, name, shown(value) if isinstance(value, str) else value)


def _end(work: StepRun, launch: Launch | None, status: str, note: str = "") -> None:
    client = MlflowClient()
    if note:
        work.tag(MLFLOW_RUN_NOTE, note)
    mlflow.end_run(status)
    # A signal may have come before the run was active here.
    client.set_terminated(work.run_id, status)
    if launch and not launch.adoptable:
        run = client.get_run(work.run_id)
        step = run.data.tags[STEP_TAG]
        client.set_tag(launch.run_id, MLFLOW_RUN_NAME, f"launch of {step}")
        client.set_tag(launch.run_id, WORK_TAG, work.run_id)
        link = f"#/experiments/{work.experiment_id}/runs/{work.run_id}"
        pointer = f"The work of this launch is the run [{step}]({link})."
        end_launch(launch, status, f"{note}\n\n{pointer}".strip())


def is_open(launch: Launch) -> bool:
    """Tell whether the run that ``mlflow run`` opened has not ended."""
    return bool(MlflowClient().get_run(launch.run_id).info.status == "RUNNING")


def end_launch(launch: Launch, status: str, note: str) -> None:
    """End the run that ``mlflow run`` opened, with a note that says why."""
    client = MlflowClient()
    client.set_tag(launch.run_id, MLFLOW_RUN_NOTE, note)
    client.set_terminated(launch.run_id, status)


def finished_runs(experiment_id: str, step: str, condition: str = "") -> list[Run]:
    """Return the finished, undeleted runs of a step, newest first."""
    query = f"attributes.status = 'FINISHED' and tags.`{STEP_TAG}` = '{step}'"
    if condition:
        query += f" and {condition}"
    return list(
        MlflowClient().search_runs(
            [experiment_id], query, order_by=["attributes.start_time DESC"], max_results=50
        )
    )


def step_of(run_id: str, step: str) -> Run:
    """Return a finished run of a step by its id.

    Raises
    ------
    StepError
        Where there is no such run, or it is not a finished, undeleted run of that step.
    """
    try:
        run = MlflowClient().get_run(run_id)
    except MlflowException as error:
        if not is_absence(error):
            raise
        raise StepError(f"there is no run {run_id} in {shown(mlflow.get_tracking_uri())}") from None
    found = run.data.tags.get(STEP_TAG, "another")
    if found != step:
        raise StepError(f"run {run_id} is of step '{found}', not of '{step}'")
    if run.info.status != "FINISHED" or run.info.lifecycle_stage != "active":
        state = "deleted" if run.info.lifecycle_stage != "active" else run.info.status
        raise StepError(f"run {run_id} of step '{step}' is {state}; it must be FINISHED")
    return run


def say(text: str) -> None:
    """Tell the user something, on standard error, at once."""
    print(shown(text), file=sys.stderr, flush=True)


def latest_or_named(step: str, data: str, experiment_id: str) -> Run | None:
    """Return the run of a step that `data` names, the latest for "", None for a path or no run."""
    if not data:
        return next(iter(finished_runs(experiment_id, step)), None)
    return None if Path(data).is_file() else step_of(data, step)


def dataset_source(uri: str) -> DatasetSource | None:
    """Return MLflow's object for where a dataset is; it has none for artifacts behind a server."""
    try:
        with warnings.catch_warnings():
            # MLflow warns that two sources of the same class would do.
            warnings.simplefilter("ignore", UserWarning)
            return resolve_dataset_source(uri)
    except MlflowException:
        return None


def input_of(run: Run) -> Run | None:
    """Return the run whose output a run has read, None where there is none, or no more."""
    before = run.data.tags.get(INPUT_TAG)
    return run_or_none(before) if before else None


def artifact_uri(run_id: str, name: str) -> str:
    """Return where an artifact of a run is kept."""
    return f"{MlflowClient().get_run(run_id).info.artifact_uri}/{name}"


def log_dataset(
    run: StepRun, patients: pd.DataFrame, *, uri: str, digest: str, source: str
) -> None:
    """Log a frame as an input of the active run: where it is kept, its digest, its data source."""
    with warnings.catch_warnings():
        # MLflow warns that a whole-numbered column, here the label, could not hold unknown values.
        warnings.simplefilter("ignore", UserWarning)
        dataset = from_pandas(
            patients,
            source=dataset_source(uri),  # type: ignore[arg-type]
            name="heart-disease",
            targets="disease",
            digest=digest[:32],
        )
        step = MlflowClient().get_run(run.run_id).data.tags[STEP_TAG]
        mlflow.log_input(dataset, context=step, tags={SOURCE_TAG: source})
    run.tag("data.digest", digest)
