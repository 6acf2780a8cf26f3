"""Train a model on prepared patients, measure it honestly, and log it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from steps.parameters.entry_points import Train
from steps.runs.running import Work, run_step


def load() -> Work[Train]:
    """Import the work."""
    from steps.work import train

    return Work(train.train, train.resolve)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the step with the words of a command line; this process's by default."""
    return run_step(Train, load, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
