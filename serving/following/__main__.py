"""The process that follows the registry for all workers: ``python -m serving.following``."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from risk_model.locations import sqlite_path
from serving.following import upkeep
from serving.following.cache import Cache
from serving.following.candidates import ReplacedError
from serving.following.challenger import ChallengerFollower
from serving.following.follower import Follower
from serving.following.monitor_run import MonitorRuns
from serving.following.probe import check_model
from serving.following.registry import MlflowRegistry
from serving.following.state import State, wait_for
from serving.http.log import log_event, log_failure
from serving.settings import Settings, read_settings

_MLFLOW_DEFAULTS = {
    # A registry that hangs must not hold the follower for MLflow's default of many minutes.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def _registry(settings: Settings) -> MlflowRegistry:
    return MlflowRegistry(
        settings["HEART_MODEL_NAME"], settings["MLFLOW_EXPERIMENT_NAME"], settings["MODEL_URI"]
    )


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
    # Two, for what takes long beside must not hold up what is served.
    registry, beside = _registry(settings), _registry(settings)
    follower = Follower(registry, cache, state, settings, check)
    follower.start_deadline()
    upkeep.start(settings)
    monitor_runs = MonitorRuns(beside, lambda: follower.current)
    challenger = ChallengerFollower(beside, cache, state, check)
    looks = (monitor_runs.look, *([challenger.look] if settings["HEART_SHADOW"] else []))
    threading.Thread(target=_look_beside, args=(looks, settings), daemon=True).start()
    while os.getppid() == parent and state.folder.is_dir():
        try:
            follower.look()
        except ReplacedError:
            # Open connections would go on reading the file that was there: begin again.
            os.execv(sys.executable, sys.orig_argv)  # noqa: S606
        except OSError as error:  # a full disk; or the service has ended, and its folder with it
            if state.folder.is_dir():
                log_event("follower.failed", "error", why=error.strerror)
        _wait(wake_up, settings["HEART_POLL_SECONDS"], parent)


def _look_beside(looks: Sequence[Callable[[], None]], settings: Settings) -> None:
    """Look, again and again, at what answers do not need."""
    while True:
        time.sleep(settings["HEART_POLL_SECONDS"])
        for look in looks:
            try:
                look()
            except ReplacedError:
                pass  # The main thread begins this process again.
            except Exception as error:  # the thread must outlive any error of one look
                log_failure(error, event="beside.failed")


def _wait(wake_up: int, seconds: float, parent: int) -> None:
    """Wait for the next look, in short steps: the parent may end meanwhile."""
    end = time.monotonic() + seconds
    while os.getppid() == parent:
        left = end - time.monotonic()
        if left <= 0 or wait_for(wake_up, min(left, 0.5)):
            return


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
