"""The owner of a run, and closing runs whose process has ended."""

import json
import socket

import mlflow
import psutil
from mlflow import MlflowClient
from mlflow.utils.mlflow_tags import (
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_PROJECT_ENTRY_POINT,
    MLFLOW_RUN_NOTE,
)

from steps.parameters.entry_points import ENTRY_POINTS
from steps.runs.store import run_or_none, scheme
from steps.runs.tracking.tags import OWNER_TAG

DEFAULT_EXPERIMENT_ID = "0"


def owner() -> str:
    """Return the tag that marks a run as this process's own."""
    process = psutil.Process()
    return json.dumps(
        {"host": socket.gethostname(), "pid": process.pid, "started": process.create_time()}
    )


def is_gone(tag: str) -> bool:
    """Return whether the process that wrote an owner tag has ended; False for another host's."""
    owner = json.loads(tag)
    if owner["host"] != socket.gethostname():
        return False
    try:
        process = psutil.Process(owner["pid"])
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        return bool(abs(process.create_time() - owner["started"]) > 1)
    except psutil.NoSuchProcess:
        return True


def close_orphans(experiment_id: str) -> list[str]:
    """End as KILLED every run of ours that its process left open, and return their ids."""
    client = MlflowClient()
    # There is no Default on Databricks, and a search in what is not there fails.
    default = () if scheme(mlflow.get_tracking_uri()) == "databricks" else (DEFAULT_EXPERIMENT_ID,)
    open_runs = client.search_runs(list({experiment_id, *default}), "attributes.status = 'RUNNING'")
    closed = [run.info.run_id for run in open_runs if _is_orphan(run)]
    for run_id in closed:
        client.set_tag(run_id, MLFLOW_RUN_NOTE, "The process of this run was killed.")
        client.set_terminated(run_id, "KILLED")
    return closed


def _is_orphan(run: mlflow.entities.Run | None) -> bool:
    """Return whether no process works on a run any more.

    A child that has not come to tag itself belongs to the owner of its parent. A launch that has
    not either belongs to an ``mlflow run`` on some machine: it is alive while one runs here that
    is as old as the launch.
    """
    if run is None or run.info.status != "RUNNING":
        return True
    tags = run.data.tags
    if OWNER_TAG in tags:
        return is_gone(tags[OWNER_TAG])
    if tags.get(MLFLOW_PROJECT_ENTRY_POINT) not in ENTRY_POINTS:
        return False
    if parent := tags.get(MLFLOW_PARENT_RUN_ID):
        return _is_orphan(run_or_none(parent))
    local = mlflow.get_tracking_uri().startswith("sqlite")
    return local and not _launchers_since(run.info.start_time / 1000)


def _launchers_since(moment: float) -> bool:
    """Return whether an ``mlflow run`` lives that had started by a moment (unix seconds)."""
    for process in psutil.process_iter(["cmdline", "create_time"]):
        command = process.info["cmdline"] or []
        launches = "run" in command and any("mlflow" in word for word in command)
        if launches and process.info["create_time"] <= moment:
            return True
    return False
