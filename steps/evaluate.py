"""Measure a model as a clinical reviewer would, on patients that it has not trained on."""

from __future__ import annotations

from functools import partial

from steps.parameters.entry_points import Evaluate
from steps.runs.running import Work, run_step


def load() -> Work[Evaluate]:
    """Import the work."""
    from steps.work import evaluate

    return Work(evaluate.evaluate, evaluate.resolve)


main = partial(run_step, Evaluate, load, __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
