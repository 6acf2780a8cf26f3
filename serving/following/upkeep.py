"""Upkeep of the prediction log: small files are merged, old ones deleted.

The follower does that in a thread, whatever HEART_PREDICTION_LOG is now: what was logged must not
stay because logging was turned off.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from risk_model.prediction_log import files
from risk_model.prediction_log.records import PROFILE, ROWS, default_folder
from serving.http.log import log_event, log_failure
from serving.settings import Settings

EVERY_SECONDS = 60.0
FILES_A_DAY = 60
"""So many small files of today are merged into one; of earlier days any two are."""

_TORN_SECONDS = 3600.0
_LOCK = ".lock"


def folder_of(settings: Settings) -> Path:
    """Return the folder of the log."""
    return Path(settings["HEART_PREDICTION_LOG_DIR"] or default_folder())


@contextlib.contextmanager
def locked(root: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the lock of a log; yield whether it is held, which it is not where another has it."""
    descriptor = os.open(root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)


def tidy(root: Path, keep_days: int) -> None:
    """Delete what is old, and merge small files."""
    if not root.is_dir():
        return
    with locked(root, wait=False) as held:
        if not held:
            return
        today = datetime.now(UTC).date()
        for kind in (ROWS, PROFILE):
            for day in files.days(root, kind):
                folder = files.day_folder(root, kind, day)
                if day <= today - timedelta(days=keep_days):
                    shutil.rmtree(folder, ignore_errors=True)
                    continue
                _delete_torn(folder)
                files.merge(folder, kind, FILES_A_DAY if day >= today else 2)


def _delete_torn(folder: Path) -> None:
    """Delete what a writer that was killed has left."""
    for path in folder.glob(".*.parquet"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _TORN_SECONDS:
                path.unlink()


def start(settings: Settings) -> None:
    """Begin the upkeep in a thread of its own, and warn of a log that holds patients."""
    root = folder_of(settings)
    if settings["HEART_PREDICTION_LOG"] == ROWS:
        log_event(
            "prediction.log.rows",
            "warning",
            folder=str(root),
            days=settings["HEART_PREDICTION_LOG_DAYS"],
            what="Findings of patients are kept: see docs/monitoring.md for who may read them.",
        )
    work = threading.Thread(
        target=_run_upkeep, args=(root, settings["HEART_PREDICTION_LOG_DAYS"]), daemon=True
    )
    work.start()


def _run_upkeep(root: Path, keep_days: int) -> None:
    reported = None
    while True:
        try:
            tidy(root, keep_days)
            reported = None
        except OSError as error:
            if error.strerror != reported:
                log_event("prediction.log.upkeep.failed", "error", why=error.strerror)
            reported = error.strerror
        except Exception as error:  # the thread must outlive any error of a file
            log_failure(error, event="prediction.log.upkeep.failed")
        time.sleep(EVERY_SECONDS)
