"""POST /invocations: MLflow's scoring protocol, with the answers of ``mlflow models serve``.

A model of format 2 gives probability, prediction and risk level of each patient, and refuses values
that are impossible; one of format 1, as release 0.1 registered them, gives classes.
"""

import json
import os
import threading
from operator import add

import numpy as np
import pydantic_core

from risk_model.bands import risk_levels
from risk_model.engines import Rows, Scores, score_many
from risk_model.model import Model
from serving.errors import Problem
from serving.http.bodies import Environ, media_type, read_body
from serving.http.gevent_support import in_thread, in_threads
from serving.http.middleware import Answer
from serving.predictions import protocol
from serving.routes.service import Service

# Bodies beyond this are scored in a thread, so that single patients do not wait behind them.
_SMALL = 16 * 1024
_places = threading.BoundedSemaphore(8)
# Rows that are worth a thread of their own: some milliseconds' work.
_PART = 1000
_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def answer(service: Service, environ: Environ) -> Answer:
    """Score a batch, straight from the WSGI environment; 503 (Problem) with too many batches."""
    service.keys.require(environ)
    kind = media_type(environ)
    if kind not in protocol.READERS:
        raise Problem(415, f"The content type must be {' or '.join(protocol.READERS)}.")
    settings = service.settings
    body = read_body(environ, settings["HEART_MAX_BATCH_LENGTH"], settings["HEART_BODY_SECONDS"])
    model = service.require_model()
    if len(body) <= _SMALL:
        rows = protocol.read(model, kind, body)
        scores = model.engine.score(rows)
        content = _to_json(model, scores)
    else:
        rows, scores, content = _score_in_threads(model, kind, body)
    for label, count in zip(*np.unique(scores.labels, return_counts=True), strict=True):
        service.metrics.predicted(int(label), model.origin.version, int(count))
    batch_id = service.recorder.take_batch(environ, model, rows, scores)
    return Answer(200, content, headers={"X-Prediction-ID": batch_id} if batch_id else {})


def _score_in_threads(model: Model, kind: str, body: bytes) -> tuple[Rows, Scores, bytes]:
    if not _places.acquire(blocking=False):
        raise Problem(503, "Too many batches at once; try again.", headers={"Retry-After": "1"})
    try:
        rows = in_thread(lambda: protocol.read(model, kind, body))
        # Similar patients are scored together, in parts side by side.
        parts = min(_CORES, -(-len(rows) // _PART))
        scores = score_many(model.engine, rows.T, -(-len(rows) // parts), in_threads)
        return rows, scores, in_thread(lambda: _to_json(model, scores))
    finally:
        _places.release()


def _to_json(model: Model, scores: Scores) -> bytes:
    if model.metadata.format == 1:
        return f'{{"predictions": {scores.labels.tolist()}}}'.encode()
    places = 2 * risk_levels(model.bands, scores.probabilities) + scores.labels
    # Every text after a probability is one of few, which takes half the time of objects.
    texts = [
        f',"prediction":{label},"risk_level":{json.dumps(level)}}}'
        for level, _ in model.bands
        for label in (0, 1)
    ]
    numbers = pydantic_core.to_json(scores.probabilities.tolist()).decode()[1:-1].split(",")
    rows = map(add, numbers, map(texts.__getitem__, places.tolist()))
    return ('{"predictions":[{"probability":' + ',{"probability":'.join(rows) + "]}").encode()
