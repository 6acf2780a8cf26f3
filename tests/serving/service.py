"""The service as it is run: gunicorn on a picked port, and load on it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from clinical.schema import FEATURES

ROOT = Path(__file__).parents[2]
PATIENT = json.dumps({feature.name: feature.example for feature in FEATURES}).encode()
POLL_SECONDS = 0.5
PATIENCE = 300
"""Seconds that nothing takes but on a machine that is busy with other things, too."""
JSON = {"Content-Type": "application/json"}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(
    condition: Callable[[], Any],
    seconds: float = PATIENCE,
    what: str = "it",
    *,
    every: float = 0.05,
) -> Any:
    """Wait until something holds, asked every so many seconds, and return it; fail in the end."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"waited {seconds} s in vain for {what}"
        time.sleep(every)


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return this environment, without what would decide for the project, and with caches below."""
    strange = ("MLFLOW_", "HEART_", "_HEART", "AWS_", "PYTHON", "PROMETHEUS_")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(strange)}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",
        "PYTHONPATH": str(ROOT),
        # Threads spin for one another where no core is free: on a busy machine that takes minutes.
        "OMP_NUM_THREADS": "1",
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_STATE_HOME": str(home / "state"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        **more,
    }


def commands(processes: list[psutil.Process]) -> list[tuple[psutil.Process, list[str]]]:
    """Return the processes that live, with the words of their commands."""
    found = []
    for process in processes:
        # One that has just been killed may be gone, or wait for its parent to notice.
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            found.append((process, process.cmdline()))
    return found


@dataclass
class Service:
    """A running service."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def ask(
        self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Send one request on a connection of its own; return status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            method = "GET" if body is None else "POST"
            connection.request(method, path, body, JSON if headers is None else headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        with suppress(ValueError):
            return answer.status, json.loads(content)
        return answer.status, content.decode()

    def predict(self) -> tuple[int, Any]:
        return self.ask("/predict", PATIENT)

    def version(self) -> str:
        """Return the version that answers, or nothing."""
        try:
            status, body = self.predict()
        except OSError:
            return ""
        return str(body["model_version"]) if status == 200 else ""

    def ready(self) -> tuple[int, Any]:
        return self.ask("/ready")

    def metric(self, start: str, label: str = "") -> float:
        """Return the sum of the metrics whose lines begin so, and have a label."""
        lines = str(self.ask("/metrics")[1]).splitlines()
        told = [line for line in lines if line.startswith(start) and label in line]
        return sum(float(line.split()[-1]) for line in told)

    def serving(self, version: str = "") -> float:
        """Return how many workers serve a version, or any, as their metrics say."""
        return self.metric("heart_model_info{", version)

    def serves(self, version: str) -> bool:
        """Return whether twenty answers in a row are of a version, and no worker has another."""
        label = f'model_version="{version}"'
        answers = all(self.version() == version for _ in range(20))
        return answers and self.serving(label) == self.serving()

    def wait_for_version(self, version: str, seconds: float = PATIENCE) -> None:
        """Wait until every worker serves a version."""
        try:
            wait_for(lambda: self.serves(version), seconds, version)
        except AssertionError as error:
            raise AssertionError(f"{error}; log:\n{self.log.read_text()[-3000:]}") from None

    def workers(self) -> list[psutil.Process]:
        found = commands(psutil.Process(self.process.pid).children())
        return [child for child, words in found if "serving.following" not in words]

    def follower(self) -> psutil.Process:
        found = commands(psutil.Process(self.process.pid).children(recursive=True))
        return next(child for child, words in found if "serving.following" in words)

    def stop(self, seconds: float = PATIENCE) -> int:
        """End it as an operator does; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@contextmanager
def running(
    home: Path,
    uri: str,
    *,
    workers: int = 2,
    command: tuple[str, ...] = ("gunicorn", "-c", str(ROOT / "serving" / "gunicorn.conf.py")),
    wait: bool = True,
    cwd: Path | None = None,
    **env: str,
) -> Iterator[Service]:
    """Run the service, in `home` where no other folder is said; wait until it has a model.

    Without `wait`, until it listens.
    """
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    log = home / f"service-{port}.log"
    given = {
        "MLFLOW_TRACKING_URI": uri,
        "HEART_PORT": str(port),
        "HEART_WORKERS": str(workers),
        "HEART_POLL_SECONDS": str(POLL_SECONDS),
        "HEART_ACCESS_LOG": "",
        "HEART_PATIENT_SECONDS": "60",  # a busy machine is no reason to refuse a model
        **env,
    }
    words = [word.replace("{port}", str(port)) for word in command]
    with log.open("ab") as file:
        process = subprocess.Popen(
            words, cwd=cwd or home, env=environment(home, **given), stdout=file, stderr=file
        )
    service = Service(process, port, log)
    try:
        wait_for(
            lambda: "Listening at: " in log.read_text() or process.poll() is not None,
            what="the service",
        )
        if wait:
            wait_for(lambda: service.version() or process.poll() is not None, what="a model")
        assert process.poll() is None, log.read_text()
        if wait:
            # Workers take it up one after the other; one that still does answers seldom, if at all.
            wait_for(
                lambda: all(service.version() for _ in range(4)) and service.serving() == workers,
                what="a model in every worker",
            )
        yield service
    finally:
        if process.poll() is None:
            service.stop()


@dataclass
class Load:
    """Requests on kept-alive connections until it is told to end.

    With `retry`, a request whose connection breaks is sent again, as for a worker that is killed.
    """

    port: int
    connections: int = 8
    body: bytes = PATIENT
    path: str = "/predict"
    headers: dict[str, str] = field(default_factory=lambda: JSON)
    pause: float = 0.0
    statuses: Counter[Any] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    retry: bool = False
    _ended: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Load:
        for _ in range(self.connections):
            thread = threading.Thread(target=self._send)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        fresh = True
        while not self._ended.is_set():
            started = time.perf_counter()
            try:
                connection.request("POST", self.path, self.body, self.headers)
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                # A kept connection that was closed while idle is the client's to open again;
                # one that was just opened is not.
                if fresh and not self.retry:
                    self.statuses[type(error).__name__] += 1
                fresh = True
                continue
            fresh = answer.will_close
            self.seconds.append(time.perf_counter() - started)
            self.statuses[answer.status] += 1
            if answer.status == 200 and self.path == "/predict":
                self.versions[json.loads(content)["model_version"]] += 1
            if self.pause:
                time.sleep(self.pause)
        connection.close()

    def quantile(self, q: float) -> float:
        return float(np.quantile(self.seconds, q))

    def assert_lost_nothing(self) -> None:
        assert set(self.statuses) == {200}, self.statuses
        assert self.statuses[200] > 0
