"""/: the form, and the answer to it."""

from __future__ import annotations

import re
from typing import Any

from flask import Blueprint, Response, make_response, render_template, request
from markupsafe import Markup, escape

from clinical.schema import FEATURES
from risk_model.card import rendering
from serving.errors import NotLoaded
from serving.http import bodies
from serving.routes import result
from serving.routes.form import Typed, in_columns, read_form
from serving.routes.health import readiness
from serving.routes.service import Service


def make_blueprint(service: Service) -> Blueprint:
    """Return the routes."""
    blueprint = Blueprint(
        "pages", __name__, static_folder=rendering.STATIC, static_url_path="/static/card"
    )
    blueprint.add_app_template_filter(_commands, "commands")
    keys = service.keys

    def show(typed: list[Typed], status: int = 200, **parts: Any) -> Response:
        model = parts.get("answered") or service.model
        page = render_template(
            "form.html",
            columns=in_columns(typed),
            wrong=[field for field in typed if field.error],
            model=model,
            needs_key=bool(keys),
            ready=None if model else readiness(service)[1].get("detail"),
            **parts,
        )
        return make_response(page, status)

    @blueprint.get("/")
    def form() -> Response:
        return show([Typed(feature) for feature in FEATURES])

    @blueprint.post("/")
    def estimate() -> Response:
        fields = bodies.read_form(request, service.settings["HEART_BODY_SECONDS"])
        typed, values = read_form(fields)
        if keys and not keys.accepts(fields.get("key", "")):
            return show(typed, 403, failure="This API key is not valid.")
        if any(field.error for field in typed):
            return show(typed, 422)
        model = service.model
        if model is None:
            return show(typed, 503, failure=NotLoaded().detail)
        answer = result.answer(model, values, service.background, request.environ)
        service.metrics.predicted(answer["prediction"].label, model.origin.version)
        answer["prediction_id"] = service.recorder.take(
            request.environ, model, values, answer["prediction"]
        )
        return show(typed, answered=model, **answer)

    return blueprint


def _commands(text: str) -> Markup:
    """Return a message as HTML, with the commands that stand in backticks marked as such."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704
