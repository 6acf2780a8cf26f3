"""Measure a model as a clinical reviewer would, on patients that it has not trained on."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from steps.parameters.entry_points import Evaluate
from steps.runs.running import Work, run_step


def load() -> Work[Evaluate]:
    """Import the work."""
    from steps.work import evaluate

    return Work(evaluate.evaluate, evaluate.resolve)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the step with the words of a command line; this process's by default."""
    return run_step(Evaluate, load, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
