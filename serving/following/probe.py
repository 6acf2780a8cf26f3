"""Load a model without a twin, in a process of its own.

``python -m serving.following.probe <directory> <version>``
"""

from __future__ import annotations

import sys

from risk_model.stored import PICKLE_SETTING
from serving.errors import ModelError
from serving.model import Origin, load
from serving.settings import setting


def main(directory: str, version: str) -> int:
    """Return 0 where the model loads and answers its references; else say why not."""
    try:
        load(Origin("", version, "", directory), setting(PICKLE_SETTING))
    except ModelError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
