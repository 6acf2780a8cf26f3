"""Errors as RFC 9457 problem+json."""

import json
from http import HTTPStatus

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from serving.errors import Problem
from serving.http.log import log_failure

MEDIA_TYPE = "application/problem+json"
NOTHING_HERE = "There is nothing here. GET /docs lists the routes."
FAILED = "The service failed; its log has more."


def problem_body(problem: Problem, request_id: str) -> bytes:
    """Write a problem. Its parts never hold a value that a client sent."""
    content = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        **({"errors": problem.errors} if problem.errors else {}),
        "request_id": request_id,
    }
    return json.dumps(content).encode() + b"\n"


def problem_schema() -> dict[str, object]:
    """Return the JSON Schema of a problem."""
    error = {
        "type": "object",
        "required": ["pointer", "detail"],
        "properties": {
            "pointer": {"type": "string", "description": "RFC 6901 pointer into the body."},
            "detail": {"type": "string"},
        },
    }
    return {
        "type": "object",
        "title": "Problem",
        "description": "RFC 9457. Values that were sent are never repeated.",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "request_id": {"type": "string"},
            "errors": {"type": "array", "items": error},
        },
    }


def register(app: Flask) -> None:
    """Answer every error of an application as a problem."""
    app.register_error_handler(Problem, _respond)
    app.register_error_handler(HTTPException, _respond_to_http)
    app.register_error_handler(Exception, _respond_to_failure)


def _respond(problem: Problem) -> Response:
    body = problem_body(problem, request.environ["heart.request_id"])
    return Response(body, problem.status, problem.headers, content_type=MEDIA_TYPE)


_WORDS = {
    404: NOTHING_HERE,
    405: "This route does not take that method.",
    413: "The body is longer than is allowed.",
}


def _respond_to_http(error: HTTPException) -> Response:
    status = error.code or 500
    problem = Problem(status, _WORDS.get(status, HTTPStatus(status).phrase + "."))
    if allow := getattr(error, "valid_methods", None):
        problem.headers["Allow"] = ", ".join(sorted(allow))
    return _respond(problem)


def _respond_to_failure(error: Exception) -> Response:
    log_failure(error, request.environ["heart.request_id"])
    return _respond(Problem(500, FAILED))
