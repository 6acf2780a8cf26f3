"""POST /explain: how each finding of one patient moved the probability."""

from __future__ import annotations

from flask import Blueprint, Response, request

from serving.errors import Problem
from serving.predictions.explanation import explain, to_json
from serving.routes.predict import Predictor
from serving.routes.service import Service

_NOT_EXPLAINED = (
    "This model names no reference patient with whom others could be compared, or one that is not "
    "what it puts in place of unknown values, so its answers cannot be explained; those of a model "
    "trained by this release can."
)


def make_blueprint(service: Service, predictor: Predictor) -> Blueprint:
    """Return the route. It goes through Flask: what it computes takes far longer than that."""
    blueprint = Blueprint("explain", __name__)

    @blueprint.post("/explain")
    def _explain() -> Response:
        model, values, prediction = predictor.predict(request.environ)
        # Up to 8,192 combinations: other requests go on meanwhile.
        result = service.background(lambda: explain(model, values, prediction), request.environ)
        if result is None:
            raise Problem(409, _NOT_EXPLAINED)
        return Response(to_json(model, prediction, result), content_type="application/json")

    return blueprint
