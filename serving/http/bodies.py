"""Reading what a client sent: its type, its size, and no longer than it may take."""

from collections.abc import Mapping
from typing import Any

from flask import Request

from serving.errors import Problem
from serving.http.gevent_support import TookTooLongError, time_limit

Environ = dict[str, Any]
_UTF8 = ("utf-8", "utf8", "us-ascii")


def media_type(environ: Environ) -> str:
    """Return the content type without its parameters, of which none but charset=utf-8 may be."""
    kind, *parameters = environ.get("CONTENT_TYPE", "").split(";")
    for parameter in parameters:
        name, _, value = parameter.strip().partition("=")
        if name and (name.lower() != "charset" or value.strip('"').lower() not in _UTF8):
            raise Problem(415, "The only parameter of the content type may be charset=utf-8.")
    return str(kind).strip().lower()


def require_json(environ: Environ) -> None:
    """Refuse a body whose content type is not JSON."""
    if environ.get("CONTENT_TYPE") == "application/json":  # nearly always, and nothing to parse
        return
    if media_type(environ) != "application/json":
        raise Problem(
            415,
            "The content type must be application/json.",
            headers={"Accept": "application/json"},
        )


def read_body(environ: Environ, limit: int, seconds: float) -> bytes:
    """Read the whole body.

    Raises a `Problem`: 413 where it is longer than `limit`, 408 where it takes longer than
    `seconds`, 400 where it ends early.
    """
    text = environ.get("CONTENT_LENGTH")
    if environ.get("HTTP_CONTENT_ENCODING", "identity") != "identity":
        raise Problem(415, "The body must not be compressed.")
    if text:
        if not (text.isascii() and text.isdecimal()):
            raise Problem(400, "Content-Length is not a number.")
        length = int(text)
        if length > limit:
            raise _too_long(limit)
    elif environ.get("wsgi.input_terminated"):
        length = limit + 1  # chunked: as much as there is, up to one byte too many
    else:
        length = 0
    try:
        with time_limit(seconds):
            body: bytes = environ["wsgi.input"].read(length)
    except TookTooLongError:
        raise _too_slow(seconds) from None
    except Exception:  # any error of a server for malformed chunks
        raise Problem(400, "The body cannot be read: it is not sent as HTTP says.") from None
    if len(body) > limit:
        raise _too_long(limit)
    if text and len(body) < length:
        raise Problem(400, "The body ended before its Content-Length.")
    return body


def read_form(request: Request, seconds: float) -> Mapping[str, str]:
    """Read the fields of a form; 408 (Problem) where they take longer than `seconds` to arrive.

    Flask looks after the length.
    """
    try:
        with time_limit(seconds):
            return request.form
    except TookTooLongError:
        raise _too_slow(seconds) from None


def _too_slow(seconds: float) -> Problem:
    return Problem(408, f"The body took longer than {seconds:g} s.")


def _too_long(limit: int) -> Problem:
    return Problem(413, f"The body is longer than {limit} bytes.")
