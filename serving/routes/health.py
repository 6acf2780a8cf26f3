"""The status of the service: /ping, /health, /version, /ready, /metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from flask import Blueprint, Response, request

from serving.routes.service import Service

WHAT_TO_RUN = (
    "Nothing has been trained yet: run `mlflow run .` in the project's folder, which trains and "
    "registers a model; the service takes it up by itself."
)


def readiness(service: Service) -> tuple[int, dict[str, Any]]:
    """Return the status and the body of /ready."""
    status = service.following.status()
    model, recorder = service.model, service.recorder
    body: dict[str, Any] = {"status": "ready" if model else "unavailable"}
    if model is not None:
        body |= {
            "model_version": model.origin.version,
            "source": model.origin.source,
            "engine": model.engine.name,
            "data_source": model.data_source,
            "trained_at": model.metadata.trained_at,
        }
    body |= {
        "degraded": bool(status.get("degraded")),
        "problems": list(status.get("problems", ())),
        "notes": [*status.get("notes", ()), *recorder.notes],
        "seconds_since_registry_answered": status.get("age"),
    }
    body |= recorder.shadow
    if model is None:
        body["detail"] = _reason_for_none(status)
        if body["degraded"] and not body["problems"]:
            body["problems"] = [body["detail"]]
    return (200 if model else 503), body


def _reason_for_none(status: Mapping[str, Any]) -> str:
    """Say why there is no model, and what to do about it."""
    if status.get("problems"):
        which = "The model that MODEL_URI names" if status.get("pinned") else "What was found"
        return f"{which} cannot be served; see problems."
    return WHAT_TO_RUN if status.get("looks") else "Starting: the registry has not answered yet."


def make_blueprint(service: Service) -> Blueprint:
    """Return the routes."""
    blueprint = Blueprint("health", __name__)
    keys = service.keys
    terse = bool(keys) and service.settings["HEART_KEYS_FOR"] == "everything"

    @blueprint.get("/ping")
    @blueprint.get("/health")
    def ping() -> Response:
        # As MLflow's scoring server: alive and able to answer, or not found. Its line break is
        # called JSON there, which it is not.
        status = 200 if service.model else 404
        return Response("\n", status, content_type="text/plain; charset=utf-8")

    @blueprint.get("/version")
    def mlflow_version() -> Response:
        return Response(version("mlflow-skinny"), content_type="text/plain; charset=utf-8")

    @blueprint.get("/ready")
    def ready() -> Response:
        status, body = readiness(service)
        if terse and not keys.lets_in(request.environ):
            body = {"status": body["status"]}
        headers = {} if status == 200 else {"Retry-After": "2"}
        return Response(json.dumps(body) + "\n", status, headers, content_type="application/json")

    @blueprint.get("/metrics")
    def show_metrics() -> Response:
        body, content_type = service.metrics.exposition()
        return Response(body, content_type=content_type)

    return blueprint
