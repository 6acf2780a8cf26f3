"""Bring the patients' data in: from UCI, a file, a URL, or the synthetic sample."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from steps.parameters.entry_points import Download
from steps.runs.running import Work, run_step


def load() -> Work[Download]:
    """Import the work."""
    from steps.work import download

    return Work(download.download)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the step with the words of a command line; this process's by default."""
    return run_step(Download, load, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
