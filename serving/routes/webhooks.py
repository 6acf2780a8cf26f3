"""POST /webhooks/mlflow: signed events of the registry, taken as a hint to look at it now."""

import base64
import contextlib
import hashlib
import hmac
import time
from pathlib import Path

from flask import Blueprint, Response, request
from werkzeug.datastructures import Headers

from serving.errors import Problem
from serving.http.bodies import read_body
from serving.routes.service import service

FRESH_SECONDS = 300
blueprint = Blueprint("webhooks", __name__)


def _is_new(folder: Path, delivery: str, now: float) -> bool:
    """Return whether the workers of a service see an id for the first time, and remember it.

    The ids of the last minutes are empty files in a folder that the workers share.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            # Twice the window: a time stamp may lie as far ahead as it may lie behind.
            if now - path.stat().st_mtime > 2 * FRESH_SECONDS:
                path.unlink()
    try:
        (folder / hashlib.sha256(delivery.encode()).hexdigest()).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def sign(secret: str, delivery: str, timestamp: str, body: bytes) -> str:
    """Return the signature that MLflow sends: HMAC-SHA256 over "{id}.{time}.{body}"."""
    message = f"{delivery}.{timestamp}.".encode() + body
    digest = hmac.new(secret.encode(), message, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def _check(secret: str, headers: Headers, body: bytes, now: float) -> str:
    """Return the id of a delivery; raise Problem (401) where it is not signed or not fresh."""
    delivery = headers.get("X-MLflow-Delivery-Id", "")
    timestamp = headers.get("X-MLflow-Timestamp", "")
    given = headers.get("X-MLflow-Signature", "").encode("latin-1", "replace")
    expected = sign(secret, delivery, timestamp, body).encode()
    if not (delivery and hmac.compare_digest(given, expected)):
        raise Problem(401, "The signature is missing or wrong.")
    if not (timestamp.isascii() and timestamp.isdecimal()) or (
        abs(now - int(timestamp[:15])) > FRESH_SECONDS
    ):
        raise Problem(401, f"The delivery is not of the last {FRESH_SECONDS} s.")
    return delivery


@blueprint.post("/webhooks/mlflow")
def receive() -> Response:
    """Have the follower look at the registry, once for each delivery."""
    settings, metrics, following = service.settings, service.metrics, service.following
    secret = settings["HEART_WEBHOOK_SECRET"]
    if not secret:
        raise Problem(404, "Webhooks are off: HEART_WEBHOOK_SECRET is not set.")
    limit, seconds = settings["HEART_MAX_CONTENT_LENGTH"], settings["HEART_BODY_SECONDS"]
    body = read_body(request.environ, limit, seconds)
    now = time.time()
    try:
        delivery = _check(secret, request.headers, body, now)
    except Problem:
        metrics.count("heart_webhooks_total", "refused")
        raise
    new = _is_new(following.folder / "deliveries", delivery, now)
    metrics.count("heart_webhooks_total", "taken" if new else "repeated")
    if new:
        following.notify()
    return Response(status=204)
