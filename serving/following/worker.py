"""A worker's side of following the registry: it loads what the follower publishes.

The follower is a process of its own (``python -m serving.following``), one for each
running service. MLflow lives there, so that no worker pays its import, its memory, or its waits.
A worker's thread looks at one file's time a few times a second, and starts a follower where there
is none. Why: docs/decisions/0004-following-the-registry.md.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from risk_model.errors import ModelError
from risk_model.model import Model, Origin, load
from risk_model.serialization import PICKLE_SETTING
from serving.following.challenger import ShadowModel
from serving.following.state import State, instance_state, read_json, stamp
from serving.http.gevent_support import in_thread
from serving.http.log import log_event, log_failure
from serving.http.metrics import Metrics
from serving.settings import SETTINGS, STATE_FOLDER, Settings

CHECK_SECONDS = 0.2
_RESPAWN_SECONDS = 5.0
_RETRY_SECONDS = 5.0
_REPAIR_SECONDS = 5.0
_BEGIN_SECONDS = 0.01
_SILENT_SECONDS = 90.0


def _main_process() -> int:
    """Return the process that all workers of this service have in common.

    A worker of a plain gunicorn is a child of it; with --preload, or in any other server, it is
    the process that makes the application.
    """
    parent = os.getppid()
    try:
        command = Path(f"/proc/{parent}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        command = [""]
    # The program itself (or the title that setproctitle gives it), not some argument that names it.
    below = command[0].startswith("gunicorn:") or "gunicorn" in [Path(w).name for w in command[:3]]
    return parent if "gunicorn" in sys.modules and below else os.getpid()


class Following:
    """Keeps the model of this process the one that the follower publishes."""

    def __init__(self, settings: Settings) -> None:
        self.model: Model | None = None
        self._settings = settings
        owner = _main_process()
        self._preloads = "gunicorn" in sys.modules and owner == os.getpid()
        self._process: int | None = None
        self._beginner: int | None = None
        self.state = instance_state(owner)
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ and "gunicorn" in sys.modules:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(self.state.metrics)
        self.folder = self.state.folder
        self._shadow = ShadowModel(self.state.challenger)
        self._stamp: tuple[int, int] | None = None
        self._failed: tuple[str, str] | None = None
        self._retry_at = 0.0
        # Where the server has started the follower, that one needs a moment to take its lock.
        self._spawned_at = time.monotonic() if STATE_FOLDER in os.environ else -_RESPAWN_SECONDS
        self._child: int | None = None

    @property
    def challenger(self) -> Model | None:
        """What is in shadow; None where nothing is."""
        return self._shadow.model

    def attach(self, metrics: Metrics) -> None:
        """Give it the metrics to report to, before it starts."""
        self._metrics = metrics

    def start(self) -> None:
        """Begin to follow.

        In a gunicorn that preloads, this is its main process: no thread may be there when it forks,
        and gevent has not patched anything yet. So it starts the follower only, and each worker
        begins with its first request (see `ensure`).
        """
        if self._preloads:
            self._spawn_follower()
            return
        self.ensure()

    def ensure(self) -> None:
        """Begin to follow in this process, if it does not yet."""
        process = os.getpid()
        if self._beginner != process:
            self._beginner = process
            try:
                self._begin()
            finally:
                self._process = process
        while self._process != process:
            time.sleep(_BEGIN_SECONDS)  # Another request has begun, and has no model yet either.

    def _begin(self) -> None:
        self._check_published()
        end = time.monotonic() + _REPAIR_SECONDS
        while self.model is None and self._failed is not None and time.monotonic() < end:
            # The published model does not load here, though it does elsewhere: the follower
            # fetches it again. A worker that waits for that fails no request meanwhile.
            time.sleep(CHECK_SECONDS)
            self._check_published()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            try:
                self._keep_follower()
                self._check_published()
                self._shadow.check()
            except Exception as error:  # the thread must outlive any error of one look
                log_failure(error, event="following.failed")
            time.sleep(CHECK_SECONDS)

    def _keep_follower(self) -> None:
        """Start a follower where there is none; of several at once, one gets the lock."""
        if not self.state.folder.is_dir():  # somebody has cleared the cache; its follower has ended
            self.state.make()
        early = time.monotonic() - self._spawned_at < _RESPAWN_SECONDS
        if not early and not self.state.has_follower():
            if self._child is not None:
                with contextlib.suppress(ChildProcessError):  # this may be a fork of its parent
                    os.waitpid(self._child, os.WNOHANG)
            self._spawn_follower()

    def _spawn_follower(self) -> None:
        self._spawned_at = time.monotonic()
        self._child = spawn_follower(self.state, self._settings)

    def _check_published(self) -> None:
        current = stamp(self.state.current)
        is_known = self._failed is None or time.monotonic() < self._retry_at
        if current is None or (current == self._stamp and is_known):
            return
        published = read_json(self.state.current)
        if not published:
            return
        self._stamp = current
        self._load_published(Origin(**published))

    def _load_published(self, origin: Origin) -> None:
        """Serve the published model; where it does not load, the current model stays."""
        version, source = origin.version, origin.source
        if self.model is not None and self.model.origin.key == origin.key:
            model = self.model.moved(origin)
        else:
            try:
                model = in_thread(lambda: load(origin, self._settings.get(PICKLE_SETTING)))
            except ModelError as error:
                self._failed = (version, str(error))
                self._retry_at = time.monotonic() + _RETRY_SECONDS
                log_event("model.refused", "error", model_version=version, why=str(error))
                self._metrics.count("heart_worker_swaps_total", "failed")
                self.state.report_load_failure(origin.key)
                return
        is_new = self.model is None or self.model.origin.key != origin.key
        self._failed = None
        # One assignment: a request sees the old model or the new one, never parts of both.
        self.model = model
        if is_new:
            engine = model.engine.name
            log_event("model.serving", model_version=version, source=source, engine=engine)
            self._metrics.count("heart_worker_swaps_total", "loaded")
        self._metrics.serves(version, source, model.engine.name, model.data_source)

    def status(self) -> dict[str, Any]:
        """Return the follower's status, and what this worker adds to it."""
        status = read_json(self.state.status)
        problems = list(status.get("problems", ()))
        if self._failed is not None:
            problems.append(f"{self._failed[0]} does not load in this worker: {self._failed[1]}")
            status["degraded"] = True
        reported = stamp(self.state.status)
        silent = time.time() - reported[0] / 1e9 if reported else 0.0
        if status and silent > self._settings["HEART_POLL_SECONDS"] + _SILENT_SECONDS:
            problems.append(f"The follower has not reported for {silent:.0f} s; see the log.")
            status["degraded"] = True
        answered = status.get("answered_at")
        status["age"] = round(time.time() - answered, 1) if answered else None
        status["problems"] = problems
        status["notes"] = [*status.get("notes", ()), *self._shadow.notes]
        return status

    def notify(self) -> bool:
        """Ask for a look at the registry now."""
        return self.state.wake()


def spawn_follower(state: State, settings: Settings) -> int:
    """Start the follower of a service and return its process id. It ends when this process does.

    By posix_spawn: it forks neither the threads of this process nor gevent's loop.
    """
    environ = dict(os.environ)
    environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
    for setting in SETTINGS:
        value = settings.get(setting.name)
        if not setting.secret and value is not None:
            environ[setting.name] = str(value)
    root = str(Path(__file__).parents[2])
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, (root, environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "serving.following", str(state.folder), str(os.getpid())]
    return os.posix_spawn(
        sys.executable,
        command,
        environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, 2, 1),
        ],
    )


def end_follower(pid: int) -> None:
    """End a follower that this process has started, and wait for it."""
    # Else it has ended by itself, or the server has collected it.
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
