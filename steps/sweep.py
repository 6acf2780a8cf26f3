"""Search for the best model on a cluster, say honestly how good it is, and train it."""

from functools import partial

from steps.parameters.entry_points import Sweep
from steps.runs.running import run_step

main = partial(run_step, Sweep, "steps.work.sweep", __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
