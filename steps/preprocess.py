"""Bring the patients to the canonical coding, clean and check them, and report what was done."""

from functools import partial

from steps.parameters.entry_points import Preprocess
from steps.runs.running import run_step

main = partial(run_step, Preprocess, "steps.work.preprocess", __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
