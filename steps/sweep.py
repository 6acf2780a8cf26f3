"""Search for the best model on a cluster, say honestly how good it is, and train it."""

from __future__ import annotations

from functools import partial

from steps.parameters.entry_points import Sweep
from steps.runs.running import Work, run_step


def load() -> Work[Sweep]:
    """Import the work."""
    from steps.runs import launching
    from steps.work import sweep

    return Work(sweep.sweep, launching.named_input)


main = partial(run_step, Sweep, load, __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
