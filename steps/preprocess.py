"""Bring the patients to the canonical coding, clean and check them, and report what was done."""

from __future__ import annotations

from functools import partial

from steps.parameters.entry_points import Preprocess
from steps.runs.running import Work, run_step


def load() -> Work[Preprocess]:
    """Import the work."""
    from steps.runs import launching
    from steps.work import preprocess

    return Work(preprocess.preprocess, launching.named_input)


main = partial(run_step, Preprocess, load, __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
