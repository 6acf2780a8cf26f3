"""The latest run of `monitor` on what is served: the follower keeps its report beside the model."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from risk_model.model import Origin
from serving.following.candidates import Registry
from serving.following.state import read_json, write_json
from serving.http.log import log_event

EVERY_SECONDS = 30.0
REPORT = "monitoring.html"
_LATEST = "monitor_run.json"


@dataclass(frozen=True)
class MonitorRun:
    """A run of `monitor`.

    Parameters
    ----------
    run_id, verdict, reason : str
    ended_at : str
        In UTC, to the second.
    folder : str
        Where its report is.
    """

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
    """Fetches the latest run's report every now and then: the follower's side.

    Parameters
    ----------
    registry : Registry
    served : callable
        Returns what is served.
    """

    def __init__(self, registry: Registry, served: Callable[[], Origin | None]) -> None:
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
        found = self._registry.monitor_run(served.version)
        known = latest(served.directory)
        if found is None or (known is not None and known.run_id == found["run_id"]):
            return
        folder = directory / f"monitor-{secrets.token_hex(8)}"
        folder.mkdir()
        try:
            self._registry.fetch_file(found["run_id"], REPORT, folder)
            write_json(directory / _LATEST, asdict(MonitorRun(**found, folder=str(folder))))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        if known is not None:
            shutil.rmtree(known.folder, ignore_errors=True)
