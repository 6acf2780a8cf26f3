"""Serve predictions from the model that the registry names, until stopped."""

import os
import sys
from typing import NoReturn

from steps.parameters.declaration import as_texts, parameters_of
from steps.parameters.entry_points import Serve
from steps.runs.files import ROOT
from steps.runs.running import parse_or_refuse

SETTINGS = {"host": "HEART_HOST", "port": "HEART_PORT", "workers": "HEART_WORKERS"}
"""The setting of the service for each parameter."""


def become_service(values: Serve) -> NoReturn:
    """Replace this process by gunicorn; there is no run of ours, since nothing is made."""
    for name, text in as_texts(values).items():
        # ``mlflow run`` passes the defaults too: they do not replace what the environment sets.
        if text != parameters_of(Serve)[name].default or not os.environ.get(SETTINGS[name]):
            os.environ[SETTINGS[name]] = text
    # The launch run is that of `mlflow run`, not one for the service to write to.
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"):
        os.environ.pop(name, None)
    configuration = str(ROOT / "serving" / "gunicorn.conf.py")
    command = [sys.executable, "-m", "gunicorn", "-c", configuration]
    os.execv(sys.executable, command)  # noqa: S606


def main() -> int:
    """Run the step from the command line."""
    if values := parse_or_refuse(Serve, __doc__):
        become_service(values)
    return 2


if __name__ == "__main__":
    sys.exit(main())
