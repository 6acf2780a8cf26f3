"""Compare what the service was asked, and how it turned out, with what the model is for."""

from __future__ import annotations

from functools import partial

from steps.parameters.entry_points import Monitor
from steps.runs.running import Work, run_step


def load() -> Work[Monitor]:
    """Import the work."""
    from steps.work import monitor

    return Work(monitor.monitor, monitor.resolve)


main = partial(run_step, Monitor, load, __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
