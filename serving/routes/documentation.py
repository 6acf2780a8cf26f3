"""/openapi.json: templates/openapi.yaml with FEATURES put in; /docs: Swagger UI, as installed."""

import json
from functools import lru_cache
from typing import Any

from flask import Blueprint, Response, render_template, request, send_from_directory

from clinical.schema import FEATURE_NAMES, FEATURES, LABEL, REQUIRED
from serving.http.problems import MEDIA_TYPE, problem_schema
from serving.predictions.schemas import EXAMPLE, patient_schema
from serving.routes.service import service

VERSION = "0.3.0"
_ASSETS = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")
_PROBLEMS = {
    400: "The body cannot be read.",
    401: "An API key, or a signature, is missing.",
    403: "The API key is not valid.",
    404: "There is nothing here.",
    408: "The body took too long to arrive.",
    409: "The model that is served cannot be explained.",
    413: "The body is too long.",
    415: "The content type is not one that this route takes.",
    422: "Fields are missing, unknown or not valid; each of them is listed.",
    503: "No model is loaded yet, or too many requests are held. Retry-After says when to try.",
}
blueprint = Blueprint("reference", __name__)


@lru_cache(maxsize=4)
def openapi(*, keys: bool, root: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 description of the service below a path. Needs Flask's context."""
    import yaml  # at the first request: a worker need not have it in order to predict

    text = render_template(
        "openapi.yaml",
        keys=keys,
        root=root or "/",
        version=VERSION,
        label=LABEL.definition,
        names=FEATURE_NAMES,
        required=REQUIRED,
        patient=patient_schema(),
        problem=problem_schema(),
        problem_type=MEDIA_TYPE,
        problem_words=_PROBLEMS,
        csv_pattern=_csv_pattern(),
        example=EXAMPLE,
        example_csv=f"{','.join(EXAMPLE)}\n{','.join(f'{v:g}' for v in EXAMPLE.values())}\n",
    )
    document: dict[str, Any] = yaml.safe_load(text)
    del document["x-parts"]  # what the others refer to by YAML's anchors
    return document


def _csv_pattern() -> str:
    """Return what a CSV file may look like: the header, and rows of values at the bounds."""
    values = [feature.codes or (feature.low, feature.high) for feature in FEATURES]
    cells = ["(" + "|".join(f"{value:g}" for value in allowed) + ")" for allowed in values]
    return f"^{','.join(FEATURE_NAMES)}\n({','.join(cells)}\n)+$"


def _older(part: Any) -> Any:
    if isinstance(part, list):
        return [_older(item) for item in part]
    if not isinstance(part, dict):
        return part
    older = {
        name: _older(value)
        for name, value in part.items()
        if value is not False or name == "additionalProperties"  # schemas may not be false there
    }
    kind = older.get("type")
    if older.pop("prefixItems", None):
        older["items"] = {}
    if isinstance(kind, list):
        older |= {"type": next(name for name in kind if name != "null"), "nullable": True}
    if isinstance(older.get("examples"), list):
        older["example"] = older.pop("examples")[0]
    return older


def _description() -> dict[str, Any]:
    settings = service.settings
    root = settings["HEART_ROOT_PATH"] or request.script_root
    return openapi(keys=bool(settings["HEART_API_KEYS"]), root=root)


@blueprint.get("/openapi.json")
def show_openapi() -> Response:
    """Show the description."""
    return Response(json.dumps(_description(), indent=2), content_type="application/json")


@blueprint.get("/docs/openapi-3.0.json")
def show_older() -> Response:
    """Show the description as OpenAPI 3.0, which the installed Swagger UI can show."""
    older = dict(_older(_description()), openapi="3.0.3")
    return Response(json.dumps(older), content_type="application/json")


@blueprint.get("/docs")
def docs() -> str:
    """Show Swagger UI."""
    return render_template("docs.html")


@blueprint.get(f"/docs/<any({', '.join(map(repr, _ASSETS))}):name>")
def asset(name: str) -> Response:
    """Send a file of Swagger UI."""
    # At the first request: a worker need not import the package in order to predict.
    from swagger_ui_bundle import swagger_ui_path

    return send_from_directory(str(swagger_ui_path), name, max_age=86400)
