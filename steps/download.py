"""Bring the patients' data in: from UCI, a file, a URL, or the synthetic sample."""

from functools import partial

from steps.parameters.entry_points import Download
from steps.runs.running import run_step

main = partial(run_step, Download, "steps.work.download", __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
