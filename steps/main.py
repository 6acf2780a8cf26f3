"""Download, preprocess, train and register, each in a run of its own below this one."""

from __future__ import annotations

from functools import partial

from steps.parameters.entry_points import Main
from steps.runs.running import Work, run_step


def load() -> Work[Main]:
    """Import the work."""
    from steps.work import main

    return Work(main.run_all, main.resolve)


main = partial(run_step, Main, load, __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
