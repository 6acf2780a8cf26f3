"""The status of the service: /ping, /health, /version, /ready, /metrics."""

import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from flask import Blueprint, Response, request

from serving.routes.service import service

WHAT_TO_RUN = (
    "Nothing has been trained yet: run `mlflow run .` in the project's folder, which trains and "
    "registers a model; the service takes it up by itself."
)
_TEXT = "text/plain; charset=utf-8"
blueprint = Blueprint("health", __name__)


def readiness() -> tuple[int, dict[str, Any]]:
    """Return the status and the body of /ready."""
    status = service.following.status()
    model = service.model
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
        "notes": [*status.get("notes", ()), *service.recorder.notes],
        "seconds_since_registry_answered": status.get("age"),
    }
    body |= service.recorder.shadow
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


@blueprint.get("/ping")
@blueprint.get("/health")
def ping() -> Response:
    """Answer as MLflow's scoring server: 200 where there is a model, else 404."""
    # Its line break is called JSON there, which it is not.
    return Response("\n", 200 if service.model else 404, content_type=_TEXT)


@blueprint.get("/version")
def mlflow_version() -> Response:
    """Answer with the version of MLflow, as its scoring server does."""
    return Response(version("mlflow-skinny"), content_type=_TEXT)


@blueprint.get("/ready")
def ready() -> Response:
    """Say whether there is a model, and which; why, only to who may know."""
    status, body = readiness()
    terse = service.settings["HEART_KEYS_FOR"] == "everything"
    if terse and not service.keys.lets_in(request.environ):
        body = {"status": body["status"]}
    headers = {} if status == 200 else {"Retry-After": "2"}
    return Response(json.dumps(body) + "\n", status, headers, content_type="application/json")


@blueprint.get("/metrics")
def show_metrics() -> Response:
    """Show the metrics to Prometheus."""
    body, content_type = service.metrics.exposition()
    return Response(body, content_type=content_type)
