"""The latest run of `monitor` on what is served: the follower keeps its report beside the model."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from risk_model.model import Origin
from serving.following.registry import MlflowRegistry
from serving.following.state import read_json, write_json

REPORT = "monitoring.html"
_LATEST = "monitor.json"


def latest(directory: str) -> dict[str, Any]:
    """Return the latest run on the model of a directory, empty where there is none.

    run_id, verdict, reason; ended_at, in UTC; report: HTML that is not to be trusted.
    """
    return read_json(Path(directory, _LATEST))


def fetch_latest(registry: MlflowRegistry, served: Origin | None) -> None:
    """Fetch the latest run on what is served and its report, where that is another one."""
    newest = registry.monitor_run(served.version) if served else None
    if not served or not newest or newest["run_id"] == latest(served.directory).get("run_id"):
        return
    with TemporaryDirectory() as folder:
        registry.fetch_file(newest["run_id"], REPORT, Path(folder))
        report = Path(folder, REPORT).read_text(encoding="utf-8", errors="replace")
    write_json(Path(served.directory, _LATEST), {**newest, "report": report})
