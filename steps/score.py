"""Score many patients: files of any size, on all cores or on a Dask cluster."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING

from steps.parameters.entry_points import Score
from steps.runs.running import Work, run_step

if TYPE_CHECKING:
    from steps.batch.job import Job
    from steps.runs.tracking.step_run import StepRun

# Each worker process imports this module once more, as the one that was started: whatever takes
# long to import is imported where the work is done.


def score(run: StepRun, values: Score, job: Job) -> None:
    """Score all rows on a cluster."""
    from steps.batch import job as jobs

    jobs.run(job, run, values.scheduler, values.workers)


def ahead(values: Score) -> None:
    """Load what worker processes need, to be forked from there, while this one loads MLflow."""
    if not values.scheduler and hasattr(os, "fork"):
        from multiprocessing import forkserver

        # Cores are shared out as processes: numpy is not to make threads of its own.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        forkserver.set_forkserver_preload(
            ["distributed.nanny", "onnxruntime", "steps.batch.scoring"]
        )
        forkserver.ensure_running()


def resolve(values: Score, _experiment_id: str) -> Job:
    """Find the input and the model before any run is opened."""
    from steps.batch import job as jobs

    return jobs.plan(values.input, values.output, values.model_uri, values.coding)


main = partial(run_step, Score, lambda: Work(score, resolve), __doc__, ahead=ahead)

if __name__ == "__main__":
    sys.exit(main())
