"""Scoring: an output that is published as a whole or not at all, and an account of it."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import mlflow
from dask.base import tokenize
from dask.utils import format_bytes
from distributed import Client, as_completed
from mlflow.data.meta_dataset import MetaDataset
from tqdm import tqdm

from clinical.codings.columns import is_index, list_names
from clinical.codings.definitions import BY_LABEL, Coding, stated_coding
from clinical.codings.recognition import coding_of_files
from clinical.errors import DataError
from clinical.schema import FEATURE_NAMES
from risk_model.layout import open_folder
from steps.batch import inputs, scoring
from steps.batch.cluster import connect
from steps.batch.output import copy_files, hidden_folder, publish, require_shared
from steps.parameters.entry_points import Score
from steps.parameters.uris import redact_credentials
from steps.registry import versions as registry
from steps.runs import lineage
from steps.runs.files import sha256
from steps.runs.terminal import echo
from steps.runs.tracking import datasets, step_run, tags


@dataclass(frozen=True)
class Job:
    """Files of patients, a model, its name in the output, and the coding that the user states."""

    files: list[inputs.File]
    model: lineage.Lineage
    version: str
    coding: Coding | None

    def score(self, client: Client, folder: Path) -> scoring.Counts:
        """Score all files, each partition to a file below `folder`, where the model is."""
        columns = [n for n in scoring.SCHEMA if n != "id" or any(file.ids for file in self.files)]
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


def score(run: step_run.StepRun, values: Score, job: Job) -> None:
    """Run a scoring job and publish its output."""
    output, account = Path(values.output), describe(run, values, job)
    stored = open_folder(job.model.folder)
    with hidden_folder(output) as folder, connect(values.scheduler, values.workers) as client:
        copy_files(stored.folder, stored.names(), folder / "model")
        require_shared(client, folder)
        started = time.perf_counter()
        counts = job.score(client, folder)
        seconds = time.perf_counter() - started
        rows, scored = counts["rows", "all"], counts["rows", "scored"]
        problems = {name: n for (of, name), n in counts.items() if of == "problem" and n}
        wrong = ", ".join(f"{name} in {count:,}" for name, count in problems.items())
        if not scored:
            raise DataError(f"none of {rows:,} rows can be used; wrong: {wrong or 'nothing'}")
        if inputs.find(values.input) != job.files:
            raise DataError(f"'{values.input}' has changed while it was read; nothing was written")
        publish(folder, output)
    figures = {"rows": rows, "scored": scored, "rejected": rows - scored}
    speed = {"seconds": seconds, "rows_per_second": rows / seconds}
    mlflow.log_metrics(figures | speed)
    levels = {name: count for (of, name), count in counts.items() if of == "level"}
    account |= {"counts": figures, "risk_levels": levels, "problems": problems, **speed}
    mlflow.log_dict(account, "scoring.json")
    echo(f"score: {scored:,} of {rows:,} rows scored: {output}")
    if wrong:
        echo(f"score: {rows - scored:,} rows REJECTED; the column 'problem' says why: {wrong}")
    echo(f"score: {rows / seconds:,.0f} rows a second")


def describe(run: step_run.StepRun, values: Score, job: Job) -> dict[str, object]:
    """Log the input and the model to the run, echo them, and return them as JSON."""
    digest = str(tokenize([(file.name, file.size, file.version) for file in job.files]))
    engine = "onnx" if open_folder(job.model.folder).onnx else "scikit-learn"
    source = redact_credentials(values.input)
    run.rename(job.version)
    if job.model.model_id:
        run.link_model(job.model.model_id)
    run.tag(tags.SOURCE_TAG, job.model.source)
    run.tag(tags.DIGEST_TAG, digest)
    if origin := datasets.dataset_source(source):
        dataset = MetaDataset(origin, "patients-to-score", digest)  # type: ignore[abstract]
        mlflow.log_input(dataset, context="score")
    what = job.files[0].name if len(job.files) == 1 else f"{len(job.files)} files"
    size = format_bytes(sum(file.size for file in job.files))
    echo(f"score: {what} ({size}) by {job.version} ({engine})")
    if job.model.source == "synthetic":
        echo("score: the model was trained on SYNTHETIC patients: its answers mean nothing")
    names = {name for file in job.files for name in file.layout.names if name not in file.ids}
    names -= {*FEATURE_NAMES, *BY_LABEL}
    if unused := sorted(name for name in names if not is_index(name)):
        echo(f"score: columns that are not used: {list_names(unused)}")
    model = {"uri": values.model_uri, "version": job.version, "engine": engine}
    model |= {"data_source": job.model.source, "sha256": sha256(job.model.folder)}
    given = {"source": source, "files": len(job.files), "digest": digest}
    return {"input": given, "output": values.output, "model": model}


def resolve(values: Score, _experiment_id: str) -> Job:
    """Return the job that the parameters name; a one-line error where something is missing."""
    files, coding = inputs.find(values.input), stated_coding(values.coding)
    uri, number = registry.pinned(values.model_uri)
    model = lineage.follow(uri)
    run_id = model.metadata.run_id
    version = f"run-{run_id}" if run_id else f"path-{Path(uri).name}"
    return Job(files, model, f"registry-v{number}" if number else version, coding)


WORK = step_run.Work(score, resolve)
