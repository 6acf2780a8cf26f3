"""The work on predictions after their answers: scoring by the challenger, writing the log.

A request leaves its predictions in a queue and goes on. Once a second a thread takes them
out, scores by the challenger, and writes. No failure there affects an answer: where the queue
is full, predictions are dropped and counted. Why: docs/decisions/0026-prediction-log.md.
"""

import atexit
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from risk_model.engines import Rows, Scores
from risk_model.model import Model
from risk_model.prediction_log.records import ROWS, default_folder
from serving.http.gevent_support import BackgroundThread, thread_lock
from serving.http.log import log_event, log_failure
from serving.http.metrics import Metrics
from serving.predictions.prediction import Prediction
from serving.predictions.profile_log import ProfileLog
from serving.predictions.row_log import MOST_ROWS, RowLog
from serving.predictions.scored import Batch, Singles
from serving.predictions.shadow import Shadow, ShadowResult
from serving.settings import Settings

_TURN_SECONDS = 1.0
_SECONDS_A_FILE = 60.0
_RETRY_SECONDS = 5.0
_SAY_SECONDS = 60.0


class Recorder:
    """Takes predictions, and does the rest in spare time.

    Parameters
    ----------
    settings : mapping
        HEART_PREDICTION_LOG, HEART_PREDICTION_LOG_DIR and HEART_SHADOW.
    metrics : Metrics
    challenger : callable
        Returns the model in shadow, if any.
    """

    def __init__(
        self, settings: Settings, metrics: Metrics, challenger: Callable[[], Model | None]
    ) -> None:
        kind, share = settings["HEART_PREDICTION_LOG"], settings["HEART_SHADOW"]
        folder = Path(settings["HEART_PREDICTION_LOG_DIR"] or default_folder())
        self._log: RowLog | ProfileLog | None = None
        if kind != "off":
            self._log = RowLog(folder) if kind == ROWS else ProfileLog(folder)
        self._shadow = Shadow(share, challenger) if share else None
        self._is_on = self._log is not None or self._shadow is not None
        self._challenger = challenger
        self._shows_ids = kind == ROWS
        self._metrics = metrics
        self._queue: list[Singles | Batch] = []
        self._waiting = 0
        self._background = BackgroundThread()
        self._turns, self._queue_lock = threading.Lock(), threading.Lock()
        self._started = False
        self._due_at = 0.0
        self._problem = ""
        self._missing = 0
        self._said_at = -_SAY_SECONDS

    # -- taking ----------------------------------------------------------------------------------

    def take(
        self,
        environ: Mapping[str, Any],
        model: Model,
        values: Sequence[float | None],
        prediction: Prediction,
    ) -> str:
        """Take one prediction; return its id, which is empty where rows are not kept."""
        if not self._is_on:
            return ""
        if not self._started:
            self._start()
        own, request_id = _ids(environ)
        id_ = f"{own}-0"
        with self._queue_lock:
            has_room = self._waiting < MOST_ROWS
            if has_room:
                self._waiting += 1
                last = self._queue[-1] if self._queue else None
                if not isinstance(last, Singles) or last.model is not model or last.is_full:
                    last = Singles(model)
                    self._queue.append(last)
                last.add(id_, request_id, values, prediction)
        if not has_room:
            self._drop(1)
        return id_ if self._shows_ids else ""

    def take_batch(
        self, environ: Mapping[str, Any], model: Model, rows: Rows, scores: Scores
    ) -> str:
        """Take a batch; return the id of its request, which is empty where rows are not kept."""
        if not self._is_on:
            return ""
        if not self._started:
            self._start()
        id_, request_id = _ids(environ)
        with self._queue_lock:
            if room := min(len(rows), MOST_ROWS - self._waiting):
                self._waiting += room
                batch = Batch(model, id_, request_id, time.time(), rows, scores, room)
                self._queue.append(batch)
        if room < len(rows):
            self._drop(len(rows) - room)
        return id_ if self._shows_ids else ""

    # -- in spare time ---------------------------------------------------------------------------

    def _start(self) -> None:
        """Begin, at the first prediction: before that a server may fork, or gevent take over."""
        self._turns, self._queue_lock = threading.Lock(), thread_lock()
        self._started = True
        threading.Thread(target=self._run, name="recorder", daemon=True).start()
        atexit.register(self.finish)

    def _run(self) -> None:
        while True:
            time.sleep(_TURN_SECONDS)
            try:
                self._turn()
            except Exception as error:  # the thread must outlive any error of one turn
                log_failure(error, event="prediction.log.failed")

    def finish(self) -> None:
        """Do all waiting work, and write the log: at the end of the process."""
        self._turn(now=True)

    def _turn(self, *, now: bool = False) -> None:
        with self._turns:
            with self._queue_lock:
                taken, self._queue, self._waiting = self._queue, [], 0
            compared, dropped = self._background(lambda: self._work(taken, now))
        for each in compared:
            self._metrics.compared(*each)
        if dropped:
            self._drop(dropped)

    def _work(self, taken: Sequence[Singles | Batch], now: bool) -> tuple[list[ShadowResult], int]:
        """Return what came of asking the challenger, and how many predictions are not logged."""
        answers, dropped, log = [], 0, self._log
        for scored in chain.from_iterable(each.parts() for each in taken):
            try:
                if self._shadow is not None and (compared := self._shadow.compare(scored)):
                    answers.append(compared)
                if log is None:
                    continue
                if log.waiting + len(scored) > log.most_rows:
                    dropped += len(scored)
                    continue
                if not log.waiting:
                    self._due_at = time.monotonic() + _SECONDS_A_FILE
                log.add(scored)
            except Exception as error:
                dropped += len(scored)
                log_failure(error, event="prediction.log.failed")
        if log is not None and log.waiting and (now or self._is_due(log)):
            self._write(log)
        return answers, dropped

    def _is_due(self, log: RowLog | ProfileLog) -> bool:
        full = log.waiting >= log.rows_a_file and not self._problem
        return full or time.monotonic() >= self._due_at

    def _write(self, log: RowLog | ProfileLog) -> None:
        try:
            log.write()
        except OSError as error:
            self._due_at = time.monotonic() + _RETRY_SECONDS
            why = os.strerror(error.errno) if error.errno else type(error).__name__
            if why != self._problem:
                log_event("prediction.log.failed", "error", why=why, waiting=log.waiting)
            self._problem = why
        else:
            if self._problem:
                log_event("prediction.log.writes.again", rows_missing=self._missing)
            self._problem = ""

    # -- telling ---------------------------------------------------------------------------------

    def _drop(self, count: int) -> None:
        self._missing += count
        self._metrics.count("heart_prediction_log_dropped_total", by=count)
        if time.monotonic() >= self._said_at + _SAY_SECONDS:
            self._said_at = time.monotonic()
            log_event("prediction.log.dropped", "error", rows_missing=self._missing)

    @property
    def shadow(self) -> dict[str, Any]:
        """The shadow's part of /ready; empty where there is to be no shadow."""
        if self._shadow is None:
            return {}
        model = self._challenger()
        return {"challenger_version": model.origin.version if model else None}

    @property
    def notes(self) -> list[str]:
        """What somebody should know of this worker's log."""
        notes = []
        if self._problem:
            notes.append(
                f"The prediction log cannot be written ({self._problem}); this worker keeps up to "
                f"{MOST_ROWS:,} predictions meanwhile."
            )
        if self._missing:
            notes.append(f"{self._missing:,} predictions of this worker are missing from the log.")
        return notes


def _ids(environ: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return the service's own id of a request, and the client's where it has sent a good one."""
    used: str = environ["heart.request_id"]
    if environ.get("HTTP_X_REQUEST_ID") != used:
        return used, None
    return os.urandom(8).hex(), used
