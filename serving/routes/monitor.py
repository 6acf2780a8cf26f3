"""/monitor: the latest run of `monitor` on what is served."""

from typing import Any

from flask import Blueprint, Response, make_response, render_template, request

from serving.errors import Problem
from serving.following.monitor_run import latest
from serving.http.bodies import read_form
from serving.routes.service import service

# The report has its style in itself; it stands in a frame that may do nothing.
_POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
blueprint = Blueprint("monitor", __name__)


def _show(status: int = 200, **parts: Any) -> Response:
    model = service.model
    run = latest(model.origin.directory) if model and status == 200 else None
    page = render_template("monitor.html", model=model, run=run, **parts)
    return make_response(page, status, {"Content-Security-Policy": _POLICY})


@blueprint.get("/monitor")
def look() -> Response:
    """Show it. It needs a key where predictions do: as a Bearer token, or typed in."""
    try:
        service.keys.require(request.environ)
    except Problem as problem:
        if request.headers.get("Authorization"):
            raise
        return _show(problem.status, locked=True)
    return _show()


@blueprint.post("/monitor")
def unlock() -> Response:
    """Show it to who types a key."""
    fields = read_form(request, service.settings["HEART_BODY_SECONDS"])
    if service.keys and not service.keys.accepts(fields.get("key", "")):
        return _show(403, locked=True, failure="This API key is not valid.")
    return _show()
