"""/openapi.json, and /docs: Swagger UI from the installed package, nothing from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from flask import Blueprint, Response, render_template, request, send_from_directory

from serving.routes.openapi import for_swagger_ui, openapi

_ASSETS = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")


def make_blueprint(settings: Mapping[str, Any]) -> Blueprint:
    """Return the routes."""
    blueprint = Blueprint("reference", __name__)

    @lru_cache(maxsize=4)
    def describe(root: str) -> dict[str, Any]:
        return openapi(keys=bool(settings["HEART_API_KEYS"]), root=root)

    def description() -> dict[str, Any]:
        return describe(settings["HEART_ROOT_PATH"] or request.script_root)

    @blueprint.get("/openapi.json")
    def show_openapi() -> Response:
        return Response(json.dumps(description(), indent=2), content_type="application/json")

    @blueprint.get("/docs/openapi-3.0.json")
    def show_older() -> Response:
        older = for_swagger_ui(description())
        return Response(json.dumps(older), content_type="application/json")

    @blueprint.get("/docs")
    def docs() -> str:
        return render_template("docs.html")

    @blueprint.get(f"/docs/<any({', '.join(repr(name) for name in _ASSETS)}):name>")
    def asset(name: str) -> Response:
        # Not before it is asked for: a worker need not import the package in order to predict.
        from swagger_ui_bundle import swagger_ui_path

        return send_from_directory(str(swagger_ui_path), name, max_age=86400)

    return blueprint
