"""Train a model on prepared patients, measure it honestly, and log it."""

from __future__ import annotations

from functools import partial

from steps.parameters.entry_points import Train
from steps.runs.running import Work, run_step


def load() -> Work[Train]:
    """Import the work."""
    from steps.runs import launching
    from steps.work import train

    return Work(train.train, launching.named_input)


main = partial(run_step, Train, load, __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
