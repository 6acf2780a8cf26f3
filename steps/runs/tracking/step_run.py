"""What a step does in its open run, and what it records there: tags, metrics, artifacts."""

import math
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlflow import MlflowClient
from mlflow.data.dataset import Dataset
from mlflow.entities import LoggedModelInput, Metric
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME, MLFLOW_RUN_NOTE

from risk_model.locations import file_path
from steps.runs.files import ROOT, copy_atomically, sha256
from steps.runs.store import StepError
from steps.runs.tracking.tags import STEP_TAG


@dataclass
class StepRun:
    """The open run of a step.

    `outputs` are the SHA-256 of what it made, by artifact path or model URI, kept as a file when it
    ends well; `datasets` the patients that it was noted to have read, by name.
    """

    run_id: str
    experiment_id: str
    outputs: dict[str, str] = field(default_factory=dict)
    datasets: dict[str, Dataset] = field(default_factory=dict)

    def tag(self, name: str, value: object) -> None:
        """Set a tag of the run."""
        MlflowClient().set_tag(self.run_id, name, value)

    def rename(self, *subjects: object) -> None:
        """Name the run after its step and what it works on, unless its user has named it."""
        run = MlflowClient().get_run(self.run_id)
        step = run.data.tags[STEP_TAG]
        if run.info.run_name == step:
            self.tag(MLFLOW_RUN_NAME, " ".join(map(str, (step, *subjects))))

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

        Of the dataset, its name among `datasets`; the run has logged the model, or is linked to it.
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

    def log_text(self, name: str, text: str, copy: str = "") -> None:
        """Log a text as `log_file` does a file."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, name)
            path.write_text(text)
            self.log_file(path, copy=copy)

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


@dataclass(frozen=True)
class Work:
    """What an entry point does.

    ``run(run, values, resolved)`` does the work in the open run. ``resolve(values, experiment_id)``
    looks up what the parameters name before that is opened; it raises StepError where something
    does not exist.
    """

    run: Callable[..., None]
    resolve: Callable[..., object] = lambda _values, _experiment_id: None


def _discard(run_id: str, name: str) -> None:
    """Take back what a failed write may have left of an artifact on a local disk."""
    root = file_path(MlflowClient().get_run(run_id).info.artifact_uri)
    if root:
        (root / name).unlink(missing_ok=True)
