"""The process that follows the registry for all workers: ``python -m serving.following``."""

import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from risk_model.locations import sqlite_path
from risk_model.prediction_log.records import ROWS
from serving.following import upkeep
from serving.following.cache import Cache
from serving.following.candidates import ReplacedError
from serving.following.challenger import ChallengerFollower
from serving.following.follower import Follower
from serving.following.monitor_run import fetch_latest
from serving.following.probe import check_model
from serving.following.registry import MlflowRegistry
from serving.following.state import State, wait_for
from serving.http.log import log_event, log_failure
from serving.settings import Settings, read_settings

UPKEEP_SECONDS = 60.0
MONITOR_SECONDS = 30.0
_MLFLOW_DEFAULTS = {
    # A registry that hangs must not hold the follower for MLflow's default of many minutes.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def namespace(settings: Settings) -> str:
    """Return what names the registry and the model, without asking MLflow."""
    tracking = os.environ.get("MLFLOW_TRACKING_URI", "")
    registry = os.environ.get("MLFLOW_REGISTRY_URI", tracking) or "sqlite:///mlflow.db"
    path = sqlite_path(registry)
    place = str(path.resolve()) if path else registry
    return f"{place}|{settings['HEART_MODEL_NAME']}|{settings['MODEL_URI']}"


def main(folder: str, parent: int) -> None:
    """Follow until the parent ends."""
    state = State(Path(folder))
    try:
        lock, wake_up = state.lock(), state.open_wake_up()
    except FileNotFoundError:
        return  # The service has ended meanwhile, and its folder with it.
    if lock is None:
        return  # Another follower is there.
    for name, value in _MLFLOW_DEFAULTS.items():
        os.environ.setdefault(name, value)
    settings = read_settings()
    cache = Cache(namespace(settings), settings["HEART_CACHED_MODELS"])
    check = partial(check_model, seconds=settings["HEART_CHECK_SECONDS"])
    log, days = upkeep.folder_of(settings), settings["HEART_PREDICTION_LOG_DAYS"]
    if settings["HEART_PREDICTION_LOG"] == ROWS:
        log_event(
            "prediction.log.rows",
            "warning",
            folder=str(log),
            days=days,
            what="Findings of patients are kept: see docs/monitoring.md for who may read them.",
        )
    names = [settings[name] for name in ("HEART_MODEL_NAME", "MLFLOW_EXPERIMENT_NAME", "MODEL_URI")]
    # Two, for what takes long beside must not hold up what is served.
    registry, beside = MlflowRegistry(*names), MlflowRegistry(*names)
    follower = Follower(registry, cache, state, settings, check)
    deadline = threading.Timer(settings["HEART_START_SECONDS"], follower.fall_back)
    deadline.daemon = True
    deadline.start()
    poll = settings["HEART_POLL_SECONDS"]
    # At once: a service that lives a minute only is to delete old rows as well.
    tidy = partial(upkeep.tidy, log, days)
    _repeat(tidy, UPKEEP_SECONDS, "prediction.log.upkeep.failed", first=0.0)
    _repeat(
        lambda: fetch_latest(beside, follower.current), MONITOR_SECONDS, "monitor.report.missing"
    )
    if settings["HEART_SHADOW"]:
        _repeat(ChallengerFollower(beside, cache, state, check).look, poll, "challenger.failed")
    while os.getppid() == parent and state.folder.is_dir():
        try:
            follower.look()
        except ReplacedError:
            # Open connections would go on reading the file that was there: begin again.
            os.execv(sys.executable, sys.orig_argv)  # noqa: S606
        except OSError as error:  # a full disk; or the service has ended, and its folder with it
            if state.folder.is_dir():
                log_event("follower.failed", "error", why=error.strerror)
        _wait(wake_up, poll, parent)


def _repeat(
    look: Callable[[], None], seconds: float, event: str, first: float | None = None
) -> None:
    """Do again and again, in a thread of its own, what answers do not need."""

    def run() -> None:
        logged, pause = None, seconds if first is None else first
        while True:
            time.sleep(pause)
            pause = seconds
            try:
                look()
                logged = None
            except ReplacedError:
                pass  # The main thread begins this process again.
            except Exception as error:  # the thread must outlive any error of one look
                if repr(error) != logged:
                    log_failure(error, event=event)
                logged = repr(error)

    threading.Thread(target=run, daemon=True).start()


def _wait(wake_up: int, seconds: float, parent: int) -> None:
    """Wait for the next look, in short steps: the parent may end meanwhile."""
    end = time.monotonic() + seconds
    while os.getppid() == parent:
        left = end - time.monotonic()
        if left <= 0 or wait_for(wake_up, min(left, 0.5)):
            return


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
