"""Move a version by hand: to champion, challenger or the archive, or back to the last champion."""

from __future__ import annotations

from functools import partial

from steps.parameters.entry_points import Promote
from steps.runs.running import Work, run_step


def load() -> Work[Promote]:
    """Import the work."""
    from steps.work import promote

    return Work(promote.promote, promote.resolve)


main = partial(run_step, Promote, load, __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
