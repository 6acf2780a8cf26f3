"""Measure a model as a clinical reviewer would, on patients that it has not trained on."""

from functools import partial

from steps.parameters.entry_points import Evaluate
from steps.runs.running import run_step

main = partial(run_step, Evaluate, "steps.work.evaluate", __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
