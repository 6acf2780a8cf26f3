"""Upkeep of the prediction log: small files are merged, old ones deleted.

The follower does that, whatever HEART_PREDICTION_LOG is now: what was logged must not stay because
logging was turned off.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from risk_model.prediction_log import files
from risk_model.prediction_log.records import PROFILE, ROWS, default_folder
from serving.following.state import lock
from serving.settings import Settings

FILES_A_DAY = 60
"""So many small files of today are merged into one; of earlier days any two are."""

_TORN_SECONDS = 3600.0


def folder_of(settings: Settings) -> Path:
    """Return the folder of the log."""
    return Path(settings["HEART_PREDICTION_LOG_DIR"] or default_folder())


@contextlib.contextmanager
def locked(root: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the lock of a log; yield whether it is held, which it is not where another has it."""
    descriptor = lock(root / ".lock", 0o666, wait=wait)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
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
