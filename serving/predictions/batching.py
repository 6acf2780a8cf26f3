"""Scoring many patients at once: similar ones after one another, in parts side by side."""

from __future__ import annotations

import os

from risk_model.engines import Rows, Scores, score_many
from risk_model.model import Model
from serving.http.gevent_support import in_threads

# Rows that are worth a thread of their own: some milliseconds' work.
_PART = 1000
_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def score(model: Model, rows: Rows) -> Scores:
    """Return the predictions for each row."""
    parts = min(_CORES, -(-len(rows) // _PART))
    return score_many(model.engine, rows.T, -(-len(rows) // parts), in_threads)
