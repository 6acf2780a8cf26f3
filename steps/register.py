"""Register a trained model, and let the gate decide whether it becomes champion."""

from __future__ import annotations

from functools import partial

from steps.parameters.entry_points import Register
from steps.runs.running import Work, run_step


def load() -> Work[Register]:
    """Import the work."""
    from steps.work import register

    return Work(register.register, register.resolve)


main = partial(run_step, Register, load, __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
