"""POST /explain: how each finding of one patient moved the probability."""

from flask import Blueprint, Response, request

from serving.errors import Problem
from serving.predictions.explanation import explain, to_json
from serving.routes.predict import score
from serving.routes.service import service

_NOT_EXPLAINED = (
    "This model names no reference patient with whom others could be compared, or one that is not "
    "what it puts in place of unknown values, so its answers cannot be explained; those of a model "
    "trained by this release can."
)
blueprint = Blueprint("explain", __name__)


@blueprint.post("/explain")
def answer() -> Response:
    """Answer through Flask: what is computed takes far longer than that."""
    model, values, prediction = score(service, request.environ)
    # Up to 8,192 combinations: other requests go on meanwhile.
    result = service.background(lambda: explain(model, values, prediction), request.environ)
    if result is None:
        raise Problem(409, _NOT_EXPLAINED)
    return Response(to_json(model, prediction, result), content_type="application/json")
