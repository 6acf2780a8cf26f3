"""/: the form, and the answer to it."""

import re
from typing import Any

from flask import Blueprint, Response, make_response, render_template, request
from markupsafe import Markup, escape

from clinical.schema import FEATURES
from risk_model.card import rendering
from serving.errors import Problem
from serving.http import bodies
from serving.routes import result
from serving.routes.form import Typed, in_columns, read_form
from serving.routes.health import readiness
from serving.routes.service import service

blueprint = Blueprint(
    "pages", __name__, static_folder=rendering.STATIC, static_url_path="/static/card"
)


def _show(typed: list[Typed], status: int = 200, **parts: Any) -> Response:
    model = parts.get("answered") or service.model
    page = render_template(
        "form.html",
        columns=in_columns(typed),
        wrong=[field for field in typed if field.error],
        model=model,
        needs_key=bool(service.keys),
        ready=None if model else readiness()[1].get("detail"),
        **parts,
    )
    return make_response(page, status)


@blueprint.get("/")
def form() -> Response:
    """Show the form."""
    return _show([Typed(feature) for feature in FEATURES])


@blueprint.post("/")
def estimate() -> Response:
    """Show the form as it was filled in, and the answer to it."""
    fields = bodies.read_form(request, service.settings["HEART_BODY_SECONDS"])
    typed, values = read_form(fields)
    if service.keys and not service.keys.accepts(fields.get("key", "")):
        return _show(typed, 403, failure="This API key is not valid.")
    if any(field.error for field in typed):
        return _show(typed, 422)
    try:
        model = service.require_model()
    except Problem as problem:
        return _show(typed, problem.status, failure=problem.detail)
    answer = result.answer(model, values)
    prediction = answer["prediction"]
    service.metrics.predicted(prediction.label, model.origin.version)
    id_ = service.recorder.take(request.environ, model, values, prediction)
    return _show(typed, answered=model, prediction_id=id_, **answer)


@blueprint.app_template_filter("commands")
def _commands(text: str) -> Markup:
    """Return a message as HTML, with the commands that stand in backticks marked as such."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704
