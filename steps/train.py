"""Train a model on prepared patients, measure it honestly, and log it."""

from functools import partial

from steps.parameters.entry_points import Train
from steps.runs.running import run_step

main = partial(run_step, Train, "steps.work.train", __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
