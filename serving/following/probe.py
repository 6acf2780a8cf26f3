"""Load a model without an ONNX model, in a process of its own.

``python -m serving.following.probe <directory> <version> <run id>``
"""

from __future__ import annotations

import sys

from risk_model.errors import ModelError
from risk_model.model import Origin, load
from risk_model.serialization import PICKLE_SETTING
from serving.settings import setting


def main(directory: str, version: str, run_id: str) -> int:
    """Return 0 where the model loads and answers its references; else say why not."""
    try:
        origin = Origin(version=version, directory=directory, run_id=run_id)
        load(origin, setting(PICKLE_SETTING))
    except ModelError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
