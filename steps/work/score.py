"""Scoring: an output that is published as a whole or not at all, and an account of it."""

import shutil
import time
from pathlib import Path

import mlflow

from clinical.errors import DataError
from risk_model.layout import open_folder
from steps.batch.account import describe
from steps.batch.cluster import connect
from steps.batch.inputs import find
from steps.batch.job import Job, resolve
from steps.batch.output import hidden_folder, publish, require_shared
from steps.parameters.entry_points import Score
from steps.runs.terminal import echo
from steps.runs.tracking.step_run import StepRun, Work


def score(run: StepRun, values: Score, job: Job) -> None:
    """Run a scoring job and publish its output."""
    output, account = Path(values.output), describe(run, values, job)
    with hidden_folder(output) as folder, connect(values.scheduler, values.workers) as client:
        for name in open_folder(job.model.folder).names():
            path = folder / "model" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(job.model.folder / name, path)
        require_shared(client, folder)
        started = time.perf_counter()
        counts = job.score(client, folder)
        seconds = time.perf_counter() - started
        rows, scored = counts["rows", "all"], counts["rows", "scored"]
        problems = {name: n for (of, name), n in counts.items() if of == "problem" and n}
        wrong = ", ".join(f"{name} in {count:,}" for name, count in problems.items())
        if not scored:
            raise DataError(f"none of {rows:,} rows can be used; wrong: {wrong or 'nothing'}")
        if find(values.input) != job.files:
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


WORK = Work(score, resolve)
