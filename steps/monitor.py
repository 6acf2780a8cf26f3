"""Compare what the service was asked, and how it turned out, with what the model is for."""

from functools import partial

from steps.parameters.entry_points import Monitor
from steps.runs.running import run_step

main = partial(run_step, Monitor, "steps.work.monitor", __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
