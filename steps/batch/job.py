"""A scoring job: what is to be scored and by which model, and the account of it in the end."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
from dask.utils import format_bytes
from mlflow.data.meta_dataset import MetaDataset
from mlflow.store.artifact.utils.models import get_model_name_and_version

from clinical.errors import DataError
from steps.batch.batches import REJECT_COLUMNS
from steps.batch.engine import Packed, pack
from steps.batch.inputs import File, find
from steps.batch.parts import Parts, key_of, rejects_of
from steps.parameters.uris import redact_credentials
from steps.runs import lineage
from steps.runs.files import as_json
from steps.runs.reuse import digests_of_code
from steps.runs.store import StepError, is_not_found
from steps.runs.terminal import echo
from steps.runs.tracking.datasets import dataset_source
from steps.runs.tracking.step_run import StepRun
from steps.runs.tracking.tags import SOURCE_TAG


@dataclass(frozen=True)
class Job:
    """What is to be done.

    Parameters
    ----------
    source : str
        The input as it was given.
    output : Path
        The folder of Parquet files to make.
    files : list of File
    model_uri : str
    trained_on : str
        The data source of the model.
    packed : Packed
        The model.
    parts : Parts
        What is finished.
    """

    source: str
    output: Path
    files: list[File]
    model_uri: str
    trained_on: str
    packed: Packed
    parts: Parts

    @property
    def digest(self) -> str:
        """Changes when one of the files does."""
        return _digest(self.files)


def _digest(files: list[File]) -> str:
    return key_of([(file.name, file.size, file.key) for file in files])


@dataclass(frozen=True)
class Done:
    """What has come of it.

    Parameters
    ----------
    counts : Counter
        The sums of `Scored.counts` over all parts, those of an earlier start included.
    resumed : int
        The rows that an earlier start had scored.
    seconds : float
        From the first task given out to the last part written.
    busy : float
        What the workers spent on it, added up.
    """

    counts: Counter[str]
    resumed: int
    seconds: float
    busy: float


def plan(source: str, output: str, model_uri: str) -> Job:
    """Find the input and the model.

    Raises
    ------
    StepError, DataError
        With one line: nothing to read, no such model, or an output that exists.
    """
    for name, text in (("input", source), ("output", output)):
        if not text:
            raise StepError(f"'{name}' must be given; see python -m steps.score --help")
    files = find(source)
    packed, trained_on = _model(model_uri)
    code = digests_of_code("batch/tasks")
    facts = [(file.name, file.size, file.key, file.layout.names) for file in files]
    parts = Parts(Path(output), key_of(facts, packed.digest, packed.version, packed.bands, code))
    parts.require_free()
    return Job(source, Path(output), files, model_uri, trained_on, packed, parts)


def _model(uri: str) -> tuple[Packed, str]:
    """Return a model, and the data source that it was trained on."""
    version = ""
    try:
        if uri.startswith("models:/") and not uri.startswith("models:/m-"):
            # An alias may move while the job runs: what it names now is what all rows get.
            name, number = get_model_name_and_version(  # type: ignore[no-untyped-call]
                mlflow.MlflowClient(), uri
            )
            uri, version = f"models:/{name}/{number}", f"registry-v{number}"
    except mlflow.MlflowException as error:
        if not is_not_found(error):
            raise
        raise StepError(f"there is no model {uri}; 'mlflow run . -e main' makes one") from None
    model = lineage.follow(uri)
    run_id = model.facts.get("run_id")
    version = version or (f"run-{run_id}" if run_id else f"path-{Path(uri).name}")
    return pack(model.folder, model.facts, version), model.source


def describe(run: StepRun, job: Job) -> None:
    """Note on the run what is read, and what scores it."""
    run.tag("heart.model_version", job.packed.version)
    run.tag("heart.engine", job.packed.engine)
    run.tag(SOURCE_TAG, job.trained_on)
    run.tag("data.digest", job.digest)
    uri = job.files[0].url if len(job.files) == 1 else job.source
    if source := dataset_source(redact_credentials(uri)):
        dataset = MetaDataset(  # type: ignore[abstract]
            source, name="patients-to-score", digest=job.digest[:32]
        )
        mlflow.log_input(dataset, context="score")
    size = sum(file.size for file in job.files)
    echo(
        f"score: {len(job.files)} file{'s' * (len(job.files) > 1)} of {format_bytes(size)} by "
        f"{job.packed.version} ({job.packed.engine})"
    )
    if job.trained_on == "synthetic":
        echo("score: the model was trained on SYNTHETIC patients: its answers mean nothing")
    if unused := sorted({name for file in job.files for name in file.unused}):
        echo(f"score: columns that are not used: {', '.join(unused)}")


def conclude(run: StepRun, job: Job, done: Done) -> None:
    """Move the output in, and give the account of it."""
    if _digest(find(job.source)) != job.digest:
        job.parts.discard()  # an input that changes back would find them again
        raise DataError(f"'{job.source}' has changed while it was read; nothing was written")
    job.parts.move_in(REJECT_COLUMNS)
    rows, rejected = done.counts["rows"], done.counts["rejected"]
    speed = {"seconds": done.seconds}
    if rows > done.resumed:
        fresh = rows - done.resumed
        speed |= {
            "rows_per_second": fresh / done.seconds,
            "rows_per_busy_second": fresh / done.busy,
        }
    counts = {"rows": rows, "scored": rows - rejected, "rejected": rejected}
    mlflow.log_metrics(counts | {"resumed_rows": done.resumed} | speed)
    _log_account(run, job, {"counts": counts, "risk_levels": levels_of(done.counts), **speed})
    echo(f"score: {rows - rejected:,} of {rows:,} rows scored: {job.output}")
    if rejected:
        echo(f"score: {rejected:,} rows REJECTED; which, and why: {rejects_of(job.output)}")
    if "rows_per_second" in speed:
        echo(f"score: {speed['rows_per_second']:,.0f} rows a second")


def levels_of(counts: Counter[str]) -> dict[str, int]:
    """Return how many rows have each risk level."""
    prefix = "level."
    return {k.removeprefix(prefix): n for k, n in counts.items() if k.startswith(prefix)}


def _log_account(run: StepRun, job: Job, figures: dict[str, Any]) -> None:
    """Keep a summary with the run: figures and names, and nothing of any patient."""
    account = {
        "input": {
            "source": redact_credentials(job.source),
            "files": len(job.files),
            "digest": job.digest,
        },
        "output": str(job.output),
        "model": {
            "uri": job.model_uri,
            "version": job.packed.version,
            "engine": job.packed.engine,
            "data_source": job.trained_on,
            "sha256": job.packed.digest,
        },
        **figures,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "scoring.json")
        path.write_text(as_json(account))
        run.log_file(path)
