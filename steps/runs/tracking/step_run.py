"""The open run of a step."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.data.dataset import Dataset
from mlflow.entities import LoggedModelInput, Metric
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME, MLFLOW_RUN_NOTE

from risk_model.locations import file_path
from steps.parameters.declaration import as_texts, step_name
from steps.parameters.uris import redact_credentials
from steps.runs.files import ROOT, copy_atomically, sha256
from steps.runs.store import StepError, explain, store_errors
from steps.runs.terminal import echo
from steps.runs.tracking.launch_run import Launch, end_launch
from steps.runs.tracking.orphans import owner
from steps.runs.tracking.tags import OUTPUTS_FILE, OWNER_TAG, STEP_TAG, WORK_TAG


@dataclass
class StepRun:
    """The open run of a step.

    Attributes
    ----------
    run_id, experiment_id : str
        Where it is recorded.
    outputs : dict of str to str
        SHA-256 of what it made, by artifact path or model URI; kept as a file when it ends well.
    datasets : dict of str to Dataset
        The patients that it was noted to have read, by name.
    """

    run_id: str
    experiment_id: str
    outputs: dict[str, str] = field(default_factory=dict)
    datasets: dict[str, Dataset] = field(default_factory=dict)

    def tag(self, name: str, value: object) -> None:
        """Set a tag of the run."""
        MlflowClient().set_tag(self.run_id, name, value)

    def rename(self, *words: object) -> None:
        """Name the run after its step and what it works on, unless its user has named it."""
        run = MlflowClient().get_run(self.run_id)
        step = run.data.tags[STEP_TAG]
        if run.info.run_name == step:
            self.tag(MLFLOW_RUN_NAME, " ".join(map(str, (step, *words))))

    def describe(self, text: str) -> None:
        """Set the run's description (Markdown): what came out."""
        self.tag(MLFLOW_RUN_NOTE, text)

    def link_model(self, model_id: str) -> None:
        """Note a logged model as an input of the run."""
        MlflowClient().log_inputs(self.run_id, models=[LoggedModelInput(model_id)])

    def log_metrics(
        self, figures: Mapping[str, float | None], dataset: str = "", model_id: str | None = None
    ) -> None:
        """Log those figures that are defined, with the dataset and the model that they are about.

        Parameters
        ----------
        figures : mapping of str to float
        dataset : str, optional
            Its name among `datasets`.
        model_id : str, optional
            Of a model that the run has logged or is linked to.
        """
        now, about = time.time_ns() // 1_000_000, self.datasets.get(dataset)
        MlflowClient().log_batch(
            self.run_id,
            [
                Metric(
                    name,
                    value,
                    now,
                    0,
                    model_id=model_id,
                    dataset_name=about.name if about else None,
                    dataset_digest=about.digest if about else None,
                    run_id=self.run_id,
                )
                for name, value in figures.items()
                if value is not None and math.isfinite(value)
            ],
        )

    def log_file(self, path: Path, folder: str = "", copy: str = "") -> None:
        """Log a file as an artifact in a folder of the run, and note its digest as an output.

        `copy` is the folder of the project in which a working copy is put.
        """
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
        if copy:
            copy_atomically(path, ROOT / copy / path.name)


def _discard(run_id: str, name: str) -> None:
    """Take back what a failed write may have left of an artifact on a local disk."""
    root = file_path(MlflowClient().get_run(run_id).info.artifact_uri)
    if root:
        (root / name).unlink(missing_ok=True)


@contextmanager
def open_run(values: object, launch: Launch | None, experiment_id: str) -> Iterator[StepRun]:
    """Open the run of the step that has these parameters; whatever happens, it ends with the truth.

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
            # The first error is the one to tell; the run is closed by the next step that starts.
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
        # A name of MLflow's making, such as wise-owl-123, says nothing; the user's own stays.
        if re.fullmatch(r"[a-z]+-[a-z]+-\d+", run.info.run_name):
            client.set_tag(launch.run_id, MLFLOW_RUN_NAME, step)
        return launch.run_id
    inherited = _tags_of(launch) if launch else resolve_tags()
    created = client.create_run(experiment_id, tags={**inherited, **tags}, run_name=step)
    return str(created.info.run_id)


def _tags_of(launch: Launch) -> dict[str, str]:
    tags = MlflowClient().get_run(launch.run_id).data.tags
    return {k: v for k, v in tags.items() if k not in (MLFLOW_RUN_NAME, MLFLOW_RUN_NOTE)}


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
        end_launch(launch, status, f"{note}\n\n{pointer}".strip())
