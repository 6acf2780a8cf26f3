"""The input and the model of a scoring job, echoed and logged to its run."""

from __future__ import annotations

import mlflow
from dask.base import tokenize
from dask.utils import format_bytes
from mlflow.data.meta_dataset import MetaDataset

from clinical.codings.columns import is_index, list_names
from clinical.codings.definitions import BY_LABEL
from clinical.schema import FEATURE_NAMES
from risk_model.layout import open_folder
from steps.batch.job import Job
from steps.parameters.entry_points import Score
from steps.parameters.uris import redact_credentials
from steps.runs.files import sha256
from steps.runs.terminal import echo
from steps.runs.tracking import datasets, step_run, tags


def describe(run: step_run.StepRun, values: Score, job: Job) -> dict[str, object]:
    """Log the input and the model to the run, echo them, and return them as JSON."""
    digest = str(tokenize([(file.name, file.size, file.version) for file in job.files]))
    engine = "onnx" if open_folder(job.model.folder).onnx else "scikit-learn"
    source = redact_credentials(values.input)
    run.rename(job.version)
    if job.model.model_id:
        run.link_model(job.model.model_id)
    run.tag("heart.model_version", job.version)
    run.tag("heart.engine", engine)
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
