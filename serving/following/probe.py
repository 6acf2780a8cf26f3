"""Whether a model loads, tried where it can do no harm.

``python -m serving.following.probe <directory> <version> <run id>``
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from risk_model.errors import ModelError
from risk_model.layout import open_folder
from risk_model.model import Origin, load
from risk_model.serialization import PICKLE_SETTING
from serving.settings import setting


def check_model(origin: Origin, seconds: float = 120) -> None:
    """Load a model in order to know that it loads.

    An ONNX model is loaded in this process, which takes milliseconds. Another one needs
    scikit-learn, and a forged tree can crash who loads it: that happens in a child process.

    Parameters
    ----------
    origin : Origin
    seconds : float
        How long the child may take.

    Raises
    ------
    ModelError
        Where it does not load, or not in time.
    """
    if open_folder(Path(origin.directory)).onnx:
        load(origin)
        return
    try:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "serving.following.probe"),
                *(origin.directory, origin.version, origin.run_id),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ModelError(f"The model takes longer than {seconds:g} s to load.") from None
    if done.returncode != 0:
        words = done.stderr.strip().splitlines()[-1:] or ["The process that loaded it ended."]
        raise ModelError(words[0])


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
