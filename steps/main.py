"""Download, preprocess, train and register, each in a run of its own below this one."""

from functools import partial

from steps.parameters.entry_points import Main
from steps.runs.running import run_step

main = partial(run_step, Main, "steps.work.main", __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
