"""Search for the best model on a cluster, say honestly how good it is, and train it."""

from __future__ import annotations

import sys

from steps.parameters.entry_points import Sweep
from steps.runs.running import Work, run_step


def load() -> Work[Sweep]:
    """Import the work."""
    from steps.work import sweep

    return Work(sweep.sweep, sweep.resolve)


def main() -> int:
    """Run the step from the command line."""
    return run_step(Sweep, load, __doc__)


if __name__ == "__main__":
    sys.exit(main())
