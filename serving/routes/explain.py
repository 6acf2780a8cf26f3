"""POST /explain: how each finding of one patient moved the probability."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, request

from serving.errors import NotExplained, NotLoaded
from serving.following.worker import Following
from serving.http.bodies import read_body, require_json
from serving.http.gevent_support import BackgroundThread
from serving.http.keys import Keys
from serving.predictions.explanation import explain, to_json
from serving.predictions.prediction import predict
from serving.predictions.schemas import read_patient


def make_blueprint(
    following: Following, settings: Mapping[str, Any], background: BackgroundThread
) -> Blueprint:
    """Return the route. It goes through Flask: what it computes takes far longer than that."""
    blueprint = Blueprint("explain", __name__)
    keys = Keys(settings["HEART_API_KEYS"])

    @blueprint.post("/explain")
    def _explain() -> Response:
        keys.require(request.environ)
        require_json(request.environ)
        limit, seconds = settings["HEART_MAX_CONTENT_LENGTH"], settings["HEART_BODY_SECONDS"]
        body = read_body(request.environ, limit, seconds)
        model = following.model
        if model is None:
            raise NotLoaded
        values = read_patient(body)
        prediction = predict(model, values)
        # Up to 8,192 combinations: other requests go on meanwhile.
        found = background(lambda: explain(model, values, prediction), request.environ)
        if found is None:
            raise NotExplained
        return Response(to_json(model, prediction, found), content_type="application/json")

    return blueprint
