"""A scoring job: what is to be scored and by which model, the work, and the account of it."""

from __future__ import annotations

import glob
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import mlflow
from dask.base import tokenize
from dask.utils import format_bytes
from distributed import Client, as_completed
from mlflow.data.meta_dataset import MetaDataset
from mlflow.store.artifact.utils.models import get_model_name_and_version
from tqdm import tqdm

from clinical.codings.columns import is_index, list_names
from clinical.codings.definitions import BY_LABEL, Coding, stated_coding
from clinical.codings.recognition import coding_of_files
from clinical.errors import DataError
from clinical.schema import FEATURE_NAMES
from risk_model.layout import open_folder
from steps.batch.cluster import connect
from steps.batch.inputs import File, divide, find
from steps.batch.scoring import SCHEMA, Counts, Scorer, count_evidence
from steps.parameters.entry_points import Score
from steps.parameters.uris import redact_credentials
from steps.runs import lineage
from steps.runs.files import sha256
from steps.runs.store import StepError, is_not_found
from steps.runs.terminal import echo
from steps.runs.tracking.datasets import dataset_source
from steps.runs.tracking.orphans import is_gone, owner
from steps.runs.tracking.step_run import StepRun
from steps.runs.tracking.tags import SOURCE_TAG


@dataclass(frozen=True)
class Job:
    """Files of patients, a model, its name in the output, and the coding that the user states."""

    files: list[File]
    model: lineage.Lineage
    version: str
    coding: Coding | None


def resolve(values: Score, _experiment_id: str) -> Job:
    """Find the input and the model before any run is opened, or say in a line what is missing."""
    for name in ("input", "output"):
        if not getattr(values, name):
            raise StepError(f"'{name}' must be given; see python -m steps.score --help")
    files, stated = find(values.input), stated_coding(values.coding)
    return Job(files, *_follow(values.model_uri), stated)


def _follow(uri: str) -> tuple[lineage.Lineage, str]:
    """Return a model, and what the output calls it."""
    version = ""
    try:
        if uri.startswith("models:/") and not uri.startswith("models:/m-"):
            # An alias may move while the job runs: what it names now is what all rows get.
            client = mlflow.MlflowClient()
            name, number = get_model_name_and_version(client, uri)  # type: ignore[no-untyped-call]
            uri, version = f"models:/{name}/{number}", f"registry-v{number}"
    except mlflow.MlflowException as error:
        if not is_not_found(error):
            raise
        raise StepError(f"there is no model {uri}; 'mlflow run . -e main' makes one") from None
    model = lineage.follow(uri)
    run_id = model.metadata.run_id
    return model, version or (f"run-{run_id}" if run_id else f"path-{Path(uri).name}")


def score(run: StepRun, values: Score, job: Job) -> None:
    """Do a job: an output that is there as a whole or not at all, and an account of it."""
    output, account = Path(values.output), _describe(run, values, job)
    with _hidden_folder(output) as folder, connect(values.scheduler, values.workers) as client:
        for name in open_folder(job.model.folder).names():
            path = folder / "model" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(job.model.folder / name, path)
        _require_shared(client, folder)
        started = time.perf_counter()
        counts = _score(client, job, folder)
        seconds = time.perf_counter() - started
        rows, scored = counts["rows", "all"], counts["rows", "scored"]
        problems = {name: n for (of, name), n in counts.items() if of == "problem" and n}
        wrong = ", ".join(f"{name} in {count:,}" for name, count in problems.items())
        if not scored:
            raise DataError(f"none of {rows:,} rows can be used; wrong: {wrong or 'nothing'}")
        if find(values.input) != job.files:
            raise DataError(f"'{values.input}' has changed while it was read; nothing was written")
        if os.path.lexists(output):  # a rename would replace an empty folder
            raise StepError(f"{output} exists by now, and is not overwritten")
        (folder / "parts").rename(output)
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


def _describe(run: StepRun, values: Score, job: Job) -> dict[str, object]:
    """Note on the run, and say, what is read and what scores it; return it as well."""
    digest = str(tokenize([(file.name, file.size, file.version) for file in job.files]))
    engine = "onnx" if open_folder(job.model.folder).onnx else "scikit-learn"
    source = redact_credentials(values.input)
    run.rename(job.version)
    if job.model.model_id:
        run.link_model(job.model.model_id)
    run.tag("heart.model_version", job.version)
    run.tag("heart.engine", engine)
    run.tag(SOURCE_TAG, job.model.source)
    run.tag("data.digest", digest)
    if origin := dataset_source(source):
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
    return {"input": given, "output": str(Path(values.output)), "model": model}


@contextmanager
def _hidden_folder(output: Path) -> Iterator[Path]:
    """Give a folder beside an output; what is left of it is removed when the block ends."""
    output.parent.mkdir(parents=True, exist_ok=True)
    for left in output.parent.glob(f".{glob.escape(output.name)}.*.partial/owner"):
        if is_gone(left.read_text()):  # killed
            shutil.rmtree(left.parent, ignore_errors=True)
    with tempfile.TemporaryDirectory(
        ".partial", f".{output.name}.", output.parent, ignore_cleanup_errors=True
    ) as name:
        Path(name, "owner").write_text(owner())
        Path(name, "parts").mkdir()
        yield Path(name)


def _require_shared(client: Client, folder: Path) -> None:
    """Let every worker read a file in a folder: each takes the model there, and writes to it."""
    with suppress(OSError):
        if set(client.run(Path.read_text, folder / "owner").values()) == {owner()}:
            return
    raise StepError(
        f"not all Dask workers see {folder.parent}: the output must be in a folder that they "
        "share with this machine"
    )


def _score(client: Client, job: Job, folder: Path) -> Counts:
    with_id = any(file.ids for file in job.files)
    columns = [name for name in SCHEMA if with_id or name != "id"]
    # The one coding of all files, from the beginning of each.
    beginnings = [next(divide([file])) for file in job.files]
    counted = client.gather(client.map(count_evidence, beginnings, pure=False))
    named = [(file.name, file.label) for file in job.files]
    coding = coding_of_files(dict(zip(named, counted, strict=True)), job.coding)
    scorer = Scorer(str(folder), job.version, coding, columns)
    futures = client.map(scorer.score, list(divide(job.files)), pure=False)
    done, counts = as_completed(futures, client.loop), Counts()
    for future in tqdm(done, "score", len(futures), disable=not sys.stderr.isatty()):
        counts.update(future.result())
    return counts
