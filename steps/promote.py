"""Move a version by hand: to champion, challenger or the archive, or back to the last champion."""

from functools import partial

from steps.parameters.entry_points import Promote
from steps.runs.running import run_step

main = partial(run_step, Promote, "steps.work.promote", __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
