"""Erase patients from the prediction log: ``python -m serving.erase <id> ...``."""

import argparse
import os
import sys
from collections.abc import Sequence

from risk_model.prediction_log import files
from serving.following import upkeep
from serving.settings import read_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Erase the rows of these ids; return 0 where no file is left in which there may be more."""
    parser = argparse.ArgumentParser(prog="python -m serving.erase", description=main.__doc__)
    parser.add_argument(
        "ids", nargs="+", help="ids of predictions as answers gave them, or X-Request-IDs sent"
    )
    root = upkeep.folder_of(read_settings())
    ids = parser.parse_args(arguments).ids
    try:
        with upkeep.locked(root, wait=True):
            erased, problems = files.erase(root, ids)
    except OSError as error:
        print(f"{root}: {os.strerror(error.errno or 0)}; nothing more is erased.", file=sys.stderr)
        return 1
    print(f"{erased} rows erased. A prediction is in the log a minute after its answer.")
    for line in problems:
        print(f"Not searched: {line}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
