"""Score many patients: files of any size, on all cores or on a Dask cluster."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from steps.batch import forkserver
from steps.parameters.entry_points import Score
from steps.runs.running import Work, run_step

if TYPE_CHECKING:
    from steps.batch.job import Job
    from steps.runs.tracking.step_run import StepRun

# Each worker process imports this module once more, as the one that was started: whatever takes
# long to import is imported where the work is done.


def score(run: StepRun, values: Score, job: Job) -> None:
    """Score the rows that no earlier, killed start of the job has scored, and move all in."""
    from steps.batch import job as jobs
    from steps.batch import tasks
    from steps.batch.cluster import connect

    with job.parts.held():
        jobs.describe(run, job)
        workers = values.workers or None
        with connect(values.scheduler, workers) as client:
            done = tasks.work(client, job)
        jobs.conclude(run, job, done)


def ahead(values: Score) -> None:
    """Let worker processes load what they need while this one loads MLflow."""
    if not values.scheduler:
        forkserver.start(*forkserver.WORKERS_NEED)


def resolve(values: Score, _experiment_id: str) -> Job:
    """Find the input and the model, and refuse an output that exists, before any run is opened."""
    from steps.batch import job as jobs

    return jobs.plan(values.input, values.output, values.model_uri)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the step with the words of a command line; this process's by default."""
    return run_step(Score, lambda: Work(score, resolve), __doc__, argv, ahead=ahead)


if __name__ == "__main__":
    sys.exit(main())
