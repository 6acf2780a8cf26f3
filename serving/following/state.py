"""The few files through which the follower and the workers of one service speak.

The follower writes ``current.json`` (what to serve), ``challenger.json`` (what is in shadow) and
``status.json`` (how it fares), all replaced atomically; workers only look at them. A worker wakes
the follower through a FIFO (the wake-up pipe), and leaves a file under ``load_failures/`` where it
could not load what was published. A lock held by the follower shows whether there is one.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import select
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serving.following.ownership import private_folder
from serving.settings import STATE_FOLDER

SILENT_SECONDS = 2 * 3600  # twice the longest HEART_POLL_SECONDS


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a file atomically: a reader sees the old content or the new, whole.

    Raises an `OSError` such as on a full disk; the file is as it was, and nothing else is left.
    """
    name = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file, default=str)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of such a file; empty where it does not exist."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def stamp(path: Path) -> tuple[int, int] | None:
    """Return a stamp that changes with each replacement of a file; None where there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino


def lock(path: Path, mode: int, *, wait: bool = False) -> int | None:
    """Take a lock, which ends when its file is closed; None where another has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise  # not every file system has locks
    return descriptor


class State:
    """The folder of one running service."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.current = folder / "current.json"
        self.status = folder / "status.json"
        self.challenger = folder / "challenger.json"
        self.load_failures = folder / "load_failures"
        self.metrics = folder / "metrics"
        self._lock = folder / "follower.lock"
        self._wake_up = folder / "wake_up"

    def make(self) -> State:
        """Make the folder and what is in it, as far as it is not there."""
        self.load_failures.mkdir(parents=True, exist_ok=True)
        self.metrics.mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkfifo(self._wake_up, 0o600)
        return self

    def has_begun(self) -> bool:
        """Return whether the follower has decided on a model, or on none."""
        return self.current.exists() or self.status.exists()

    def served_nearby(self) -> set[str]:
        """Return the keys of what services serve or have in shadow whose folders lie beside it."""
        keys: set[Any] = set()
        for service in map(State, self.folder.parent.iterdir()):
            shadow = read_json(service.challenger).get("origin") or {}
            keys |= {read_json(service.current).get("key"), shadow.get("key")}
        return {key for key in keys if isinstance(key, str)}

    def has_follower(self) -> bool:
        """Return whether a follower holds the lock."""
        descriptor = self.lock()
        if descriptor is None:
            return True
        os.close(descriptor)
        return False

    def lock(self) -> int | None:
        """Take the follower's lock; None where another has it."""
        return lock(self._lock, 0o600)

    def wake(self) -> bool:
        """Wake the follower; return whether there is one."""
        try:
            descriptor = os.open(self._wake_up, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return False
        try:
            os.write(descriptor, b"!")
        except OSError:
            pass  # The pipe is full: it has been rung often enough.
        finally:
            os.close(descriptor)
        return True

    def open_wake_up(self) -> int:
        """Return what the follower listens at."""
        return os.open(self._wake_up, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def report_load_failure(self, key: str) -> None:
        """Report that the model published under a key does not load here."""
        with contextlib.suppress(OSError):
            (self.load_failures / key).touch()
        self.wake()

    def take_load_failures(self) -> set[str]:
        """Return the keys of what workers could not load, once."""
        keys = set()
        for path in self.load_failures.glob("*"):
            keys.add(path.name)
            path.unlink(missing_ok=True)
        return keys


def wait_for(descriptor: int, seconds: float) -> bool:
    """Wait to be woken; return whether that happened in time."""
    ready, _, _ = select.select([descriptor], [], [], seconds)
    if not ready:
        return False
    with contextlib.suppress(OSError):
        os.read(descriptor, 4096)
    return True


def _started(pid: int) -> str:
    """Return when a process started, so that a number used again is not taken for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return "0"


def instance_state(owner: int) -> State:
    """Return the state of the service whose main process is `owner`, and sweep up dead ones."""
    named = os.environ.get(STATE_FOLDER)
    if named:
        return State(Path(named)).make()
    services = private_folder("services")
    for old in services.iterdir():
        if _is_dead(old):
            shutil.rmtree(old, ignore_errors=True)
    return State(services / f"{owner}-{_started(owner)}").make()


def _is_dead(folder: Path) -> bool:
    """Tell whether a service is no more.

    Its process may be one of another machine or container that shares this folder, of which nothing
    can be seen from here. But a follower that lives writes with each look.
    """
    pid, _, started = folder.name.partition("-")
    if not pid.isdecimal() or _started(int(pid)) == started:
        return False
    try:
        return time.time() - folder.stat().st_mtime > SILENT_SECONDS
    except FileNotFoundError:
        return False  # Another start has just swept it up.
