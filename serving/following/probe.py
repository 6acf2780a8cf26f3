"""Whether a model loads and answers in time, tried in a process that may be killed.

``python -m serving.following.probe <directory> <version> <run id>``
"""

import contextlib
import resource
import subprocess
import sys
import time
from statistics import median

from risk_model.checks import made_up_patients
from risk_model.errors import ModelError
from risk_model.model import Model, Origin, load
from risk_model.serialization import PICKLE_SETTING
from serving.settings import read_settings

_MEMORY = 4 * 2**30
_TRIES = 5


def check_model(origin: Origin, seconds: float) -> None:
    """Load a model and let it answer, in a child process: it may crash, or never come to an end.

    Raises a `ModelError` where it does not load or answer, or not in time.
    """
    command = [sys.executable, "-m", "serving.following.probe"]
    try:
        completed = subprocess.run(
            [*command, origin.directory, origin.version, origin.run_id],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ModelError(f"The model takes longer than {seconds:g} s to load and check.") from None
    if completed.returncode < 0:
        raise ModelError(f"The process that loaded it was ended by signal {-completed.returncode}.")
    if completed.returncode != 0:
        lines = completed.stderr.strip().splitlines()[-1:] or ["The process that loaded it ended."]
        raise ModelError(lines[0])


def check_pace(model: Model, seconds: float) -> None:
    """Raise ModelError for a model that takes too long for one patient."""
    took = []
    for row in made_up_patients(_TRIES).tolist():
        started = time.perf_counter()
        model.engine.score_one(row)
        took.append(time.perf_counter() - started)
    if median(took) > seconds:
        raise ModelError(
            f"The model takes {median(took):.3g} s for one patient, more than the {seconds:g} s of "
            "HEART_PATIENT_SECONDS."
        )


def main(directory: str, version: str, run_id: str) -> int:
    """Return 0 where the model loads and answers; else 1, with the reason on standard error."""
    with contextlib.suppress(OSError, ValueError):  # such as where less is allowed already
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    settings = read_settings()
    try:
        origin = Origin(version=version, directory=directory, run_id=run_id)
        check_pace(load(origin, settings[PICKLE_SETTING]), settings["HEART_PATIENT_SECONDS"])
    except ModelError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
