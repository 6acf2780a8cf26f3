"""Register a trained model, and let the gate decide whether it becomes champion."""

from functools import partial

from steps.parameters.entry_points import Register
from steps.runs.running import run_step

main = partial(run_step, Register, "steps.work.register", __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
