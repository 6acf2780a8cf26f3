"""Score many patients: files of any size, on all cores or on a Dask cluster."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from steps.runs.running import Values, run_step

if TYPE_CHECKING:
    from steps.batch.job import Job
    from steps.runs.tracking import StepRun

# Each worker process imports this module once more, as the one that was started: whatever takes
# long to import is imported where the work is done.


def score(run: StepRun, values: Values, job: Job) -> None:
    """Score all rows on a cluster."""
    from steps.batch import job as jobs

    jobs.run(job, run, str(values["scheduler"]), int(values["workers"]))


def ahead(values: Values) -> None:
    """Load what worker processes need, to be forked from there, while this one loads MLflow."""
    if not values["scheduler"] and hasattr(os, "fork"):
        from multiprocessing import forkserver

        # Cores are shared out as processes: numpy is not to make threads of its own.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        forkserver.set_forkserver_preload(
            ["distributed.nanny", "onnxruntime", "steps.batch.scoring"]
        )
        forkserver.ensure_running()


def resolve(values: Values, _experiment_id: str) -> Job:
    """Find the input and the model before any run is opened."""
    from steps.batch import job as jobs

    names = ("input", "output", "model_uri", "coding")
    return jobs.plan(*(str(values[name]) for name in names))


def main() -> int:
    """Run the step from the command line."""
    return run_step("score", score, ahead=ahead, resolve=resolve)


if __name__ == "__main__":
    sys.exit(main())
