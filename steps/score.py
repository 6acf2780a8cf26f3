"""Score many patients: files of any size, on all cores or on a Dask cluster."""

from __future__ import annotations

import os
from functools import partial

from steps.parameters.entry_points import Score
from steps.runs.running import Work, run_step

# Each worker process imports this module once more, as the one that was started: what takes
# long to import is imported where the work is done.


def load() -> Work[Score]:
    """Import the work."""
    from steps.work import score

    return Work(score.score, score.resolve)


def _ahead(values: Score) -> None:
    """Load what worker processes need, to be forked from there, while this one loads MLflow."""
    if not values.scheduler and hasattr(os, "fork"):
        from multiprocessing import forkserver

        # Cores are shared out as processes: numpy is not to make threads of its own.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        forkserver.set_forkserver_preload(
            ["distributed.nanny", "onnxruntime", "steps.batch.scoring"]
        )
        forkserver.ensure_running()


main = partial(run_step, Score, load, __doc__, ahead=_ahead)

if __name__ == "__main__":
    raise SystemExit(main())
