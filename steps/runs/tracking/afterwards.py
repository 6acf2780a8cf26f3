"""Ending a launch run as KILLED after ``mlflow run`` has called it FAILED; see `launch_run`."""

import sys
import time

from mlflow import MlflowClient

SECONDS = 10


def main(run_id: str) -> None:
    """Wait until the run is called FAILED, and end it as KILLED."""
    client = MlflowClient()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if client.get_run(run_id).info.status == "FAILED":
            client.set_terminated(run_id, "KILLED")
            return
        time.sleep(0.2)


if __name__ == "__main__":
    main(sys.argv[1])
