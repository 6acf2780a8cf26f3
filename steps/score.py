"""Score many patients: files of any size, on all cores or on a Dask cluster."""

import os
from functools import partial

from steps.parameters.entry_points import Score
from steps.runs.running import run_step


def _ahead(values: Score) -> None:
    """Load what worker processes need, to be forked from there, while this one loads MLflow."""
    if not values.scheduler and hasattr(os, "fork"):
        from multiprocessing.forkserver import ensure_running, set_forkserver_preload

        # Cores are shared out as processes: numpy is not to make threads of its own.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        set_forkserver_preload(["distributed.nanny", "onnxruntime", "steps.batch.scoring"])
        ensure_running()


# Each worker process imports this module once more: it is to import little.
main = partial(run_step, Score, "steps.work.score", __doc__, ahead=_ahead)

if __name__ == "__main__":
    raise SystemExit(main())
