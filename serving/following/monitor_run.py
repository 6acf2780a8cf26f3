"""The latest run of `monitor` on what is served: the follower keeps its report beside the model."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from risk_model.model import Origin
from serving.following.cache import make_folder
from serving.following.registry import MlflowRegistry
from serving.following.state import read_json, write_json
from serving.http.log import log_event

EVERY_SECONDS = 30.0
REPORT = "monitoring.html"
_LATEST = "monitor_run.json"


@dataclass(frozen=True)
class MonitorRun:
    """A run of `monitor`, when it ended (UTC), and the folder of its report."""

    run_id: str
    verdict: str
    reason: str
    ended_at: str
    folder: str = ""

    def page(self) -> str | None:
        """Return its report, HTML that is not to be trusted; None where it has none."""
        try:
            return Path(self.folder, REPORT).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None


def latest(directory: str) -> MonitorRun | None:
    """Return the latest run on the model of a directory, None where there is none."""
    try:
        return MonitorRun(**read_json(Path(directory) / _LATEST))
    except TypeError:
        return None


class MonitorRuns:
    """Fetches the report of the latest run on what is served, every now and then."""

    def __init__(self, registry: MlflowRegistry, served: Callable[[], Origin | None]) -> None:
        self._registry = registry
        self._served = served
        self._looked_at = -EVERY_SECONDS
        self._key = ""

    def look(self) -> None:
        """Fetch the report of the latest run on what is served, where that is another one."""
        if (served := self._served()) is None:
            return
        early = time.monotonic() < self._looked_at + EVERY_SECONDS
        if early and served.key == self._key:
            return
        self._looked_at, self._key = time.monotonic(), served.key
        try:
            self._fetch(served)
        except Exception as error:  # a report is an ornament: a model serves without it
            log_event("monitor.report.missing", "warning", why=type(error).__name__)

    def _fetch(self, served: Origin) -> None:
        directory = Path(served.directory)
        newest = self._registry.monitor_run(served.version)
        kept = latest(served.directory)
        if newest is None or (kept is not None and kept.run_id == newest["run_id"]):
            return
        run_id = newest["run_id"]
        folder = make_folder(
            directory / f"monitor-{quote(run_id, safe='')}",
            lambda work: self._registry.fetch_file(run_id, REPORT, work),
        )
        write_json(directory / _LATEST, asdict(MonitorRun(**newest, folder=str(folder))))
        if kept is not None:
            shutil.rmtree(kept.folder, ignore_errors=True)
