"""Bring the patients' data in: from UCI, a file, a URL, or the synthetic sample."""

from __future__ import annotations

from functools import partial

from steps.parameters.entry_points import Download
from steps.runs.running import Work, run_step


def load() -> Work[Download]:
    """Import the work."""
    from steps.work import download

    return Work(download.download)


main = partial(run_step, Download, load, __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
