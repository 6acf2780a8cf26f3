"""A scoring job: its files, its model, and the work on the partitions."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import mlflow
from distributed import Client, as_completed
from mlflow.store.artifact.utils.models import get_model_name_and_version
from tqdm import tqdm

from clinical.codings.definitions import Coding, stated_coding
from clinical.codings.recognition import coding_of_files
from steps.batch import inputs, scoring
from steps.parameters.entry_points import Score
from steps.runs.lineage import Lineage, follow
from steps.runs.store import StepError, is_not_found


@dataclass(frozen=True)
class Job:
    """Files of patients, a model, its name in the output, and the coding that the user states."""

    files: list[inputs.File]
    model: Lineage
    version: str
    coding: Coding | None

    def score(self, client: Client, folder: Path) -> scoring.Counts:
        """Score all files, each partition to a file below `folder`, where the model is."""
        with_id = any(file.ids for file in self.files)
        columns = [name for name in scoring.SCHEMA if with_id or name != "id"]
        # The one coding of all files, from the beginning of each.
        beginnings = [inputs.divide([file])[0] for file in self.files]
        counted = client.gather(client.map(scoring.count_evidence, beginnings, pure=False))
        named = [(file.name, file.label) for file in self.files]
        coding = coding_of_files(dict(zip(named, counted, strict=True)), self.coding)
        scorer = scoring.Scorer(str(folder), self.version, coding, columns)
        futures = client.map(scorer.score, inputs.divide(self.files), pure=False)
        completed, counts = as_completed(futures, client.loop), scoring.Counts()
        for future in tqdm(completed, "score", len(futures), disable=not sys.stderr.isatty()):
            counts.update(future.result())
        return counts


def resolve(values: Score, _experiment_id: str) -> Job:
    """Return the job that the parameters name; a one-line error where something is missing."""
    for name in ("input", "output"):
        if not getattr(values, name):
            raise StepError(f"'{name}' must be given; see python -m steps.score --help")
    files, coding = inputs.find(values.input), stated_coding(values.coding)
    return Job(files, *_follow(values.model_uri), coding)


def _follow(uri: str) -> tuple[Lineage, str]:
    """Return a model, and what the output calls it."""
    version = ""
    try:
        if uri.startswith("models:/") and not uri.startswith("models:/m-"):
            # An alias may move while the job runs: all rows are scored by the version it names now.
            client = mlflow.MlflowClient()
            name, number = get_model_name_and_version(client, uri)  # type: ignore[no-untyped-call]
            uri, version = f"models:/{name}/{number}", f"registry-v{number}"
    except mlflow.MlflowException as error:
        if not is_not_found(error):
            raise
        raise StepError(f"there is no model {uri}; 'mlflow run . -e main' makes one") from None
    model = follow(uri)
    run_id = model.metadata.run_id
    return model, version or (f"run-{run_id}" if run_id else f"path-{Path(uri).name}")
