"""The outermost layer: request id, headers, log line, metrics, shedding, and the hot route.

A WSGI callable around Flask's. POST /predict is answered here without going through Flask, whose
routing and contexts cost more than the prediction; everything else is Flask's. Why:
docs/decisions/0006-request-path.md.
"""

import contextlib
import os
import re
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from io import BytesIO
from typing import Any, NamedTuple

from serving.errors import Problem
from serving.http.bodies import Environ, read_body
from serving.http.gevent_support import fair_yield
from serving.http.keys import warn_if_open
from serving.http.log import AccessLog, log_failure
from serving.http.metrics import Metrics
from serving.http.problems import FAILED, MEDIA_TYPE, NOTHING_HERE, problem_body
from serving.settings import STATE_FOLDER, Settings

StartResponse = Callable[..., Any]
Wsgi = Callable[[Environ, StartResponse], Iterable[bytes]]


class Answer(NamedTuple):
    """A whole answer."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = {}


Handler = Callable[[Environ], Answer]

SECURITY_HEADERS: tuple[tuple[str, str], ...] = (
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)
_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_GOOD_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}").fullmatch
_CORK: int | None = getattr(socket, "TCP_CORK", None)  # on Linux
_NO_TCP = contextlib.suppress(OSError)  # a socket of another kind, or one that is closed
_PIECE = 2**20  # of an answer, for which HEART_SEND_SECONDS hold
_OVERLOADED = Problem(
    503, "Too many requests are being held; try again.", headers={"Retry-After": "1"}
)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Middleware:
    """The WSGI callable that a server calls.

    Parameters
    ----------
    flask : WSGI callable
        Answers all other routes.
    hot : mapping of str to Handler
        Paths whose POST is answered directly.
    begin : callable
        Called with the first request of a process.
    """

    def __init__(
        self,
        flask: Wsgi,
        hot: Mapping[str, Handler],
        metrics: Metrics,
        begin: Callable[[], None],
        settings: Settings,
    ) -> None:
        self._flask = flask
        self._hot = hot
        self._metrics = metrics
        self._log = AccessLog(settings["HEART_ACCESS_LOG"])
        self._limit = settings["HEART_MAX_CONCURRENCY"]
        self._keys = settings["HEART_API_KEYS"]
        self._root = settings["HEART_ROOT_PATH"]
        self._send_seconds = settings["HEART_SEND_SECONDS"]
        self._body_seconds = settings["HEART_BODY_SECONDS"]
        self._limits: dict[str, int] = {
            "": settings["HEART_MAX_CONTENT_LENGTH"],
            "/invocations": settings["HEART_MAX_BATCH_LENGTH"],
        }
        self._held = 0
        self._begin = begin
        self._yield: Callable[[], None] | None = None

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        started = time.perf_counter()
        request_id = environ.get("HTTP_X_REQUEST_ID", "")
        if not _GOOD_ID(request_id):
            request_id = os.urandom(8).hex()
        environ["heart.request_id"] = request_id
        if self._yield is None:
            self._yield = self._start(environ)
        if self._held >= self._limit:
            self._metrics.count("heart_shed_requests_total")
            answer = problem_answer(_OVERLOADED, environ)
            return self._send(environ, start_response, answer, "(shed)", started)
        self._held += 1
        try:
            # The requests that wait for their turn wait in here, where they are counted.
            self._yield()
            _limit_waiting(environ, None)
            if self._root:
                _take_off(self._root, environ)
            direct, route = self._answer(environ)
            if direct is None:
                return self._through_flask(environ, start_response, started)
            return self._send(environ, start_response, direct, route, started)
        finally:
            self._held -= 1

    def _answer(self, environ: Environ) -> tuple[Answer | None, str]:
        """Return the answer, None where it is Flask's to give, and the route."""
        route = "(refused)"
        try:
            self._check(environ)
            hot = self._hot.get(environ["PATH_INFO"])
            if hot is None or environ["REQUEST_METHOD"] != "POST":
                return None, ""
            route = environ["PATH_INFO"]
            return hot(environ), route
        except Problem as problem:
            return problem_answer(problem, environ), route
        except Exception as error:  # the last resort: the client learns nothing of the inside
            log_failure(error, environ["heart.request_id"])
            return problem_answer(Problem(500, FAILED), environ), route

    def _start(self, environ: Environ) -> Callable[[], None]:
        """Begin the work of this process, and return how a request yields to others.

        Not before the first request: with gunicorn --preload, gevent patches after import.
        """
        self._begin()
        if STATE_FOLDER not in os.environ:  # else the server's own settings have seen to it
            warn_if_open([environ.get("SERVER_NAME", "")], self._keys)
        return fair_yield()

    def _check(self, environ: Environ) -> None:
        """Refuse what HTTP forbids and servers let through; read a body of chunks to its end.

        So that it is answered once, wherever the chunks are wrong: also by routes that read none.
        """
        if "HTTP_HOST" not in environ and environ["SERVER_PROTOCOL"] == "HTTP/1.1":
            raise Problem(400, "A request of HTTP/1.1 needs a Host.")
        if environ["PATH_INFO"].startswith("//"):  # Flask would take the first / off
            raise Problem(404, NOTHING_HERE)
        coding = environ.pop("HTTP_TRANSFER_ENCODING", None)
        if coding is None:
            return
        if coding.strip().lower() != "chunked":
            raise Problem(501, "The only transfer coding may be chunked.")
        limit = self._limits.get(environ["PATH_INFO"], self._limits[""])
        body = read_body(environ, limit, self._body_seconds)
        environ["wsgi.input"], environ["CONTENT_LENGTH"] = BytesIO(body), str(len(body))

    def _send(
        self,
        environ: Environ,
        start_response: StartResponse,
        answer: Answer,
        route: str,
        started: float,
    ) -> Iterable[bytes]:
        headers = [
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            ("X-Request-ID", environ["heart.request_id"]),
            *SECURITY_HEADERS,
            *answer.headers.items(),
        ]
        start_response(_STATUS_LINES[answer.status], headers)
        self._record(environ, route, answer.status, started)
        _limit_waiting(environ, self._send_seconds)
        body = answer.body
        if environ["REQUEST_METHOD"] == "HEAD":
            return ()
        pieces = [body[start : start + _PIECE] for start in range(0, len(body), _PIECE)]
        connection = environ.get("gunicorn.socket")
        return pieces if connection is None or _CORK is None else _Corked(pieces, connection)

    def _through_flask(
        self, environ: Environ, start_response: StartResponse, started: float
    ) -> Iterable[bytes]:
        sent: list[int] = []

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            sent.append(int(status[:3]))
            names = {name.lower() for name, _ in headers}
            extra = [pair for pair in SECURITY_HEADERS if pair[0].lower() not in names]
            headers = [*headers, *extra, ("X-Request-ID", environ["heart.request_id"])]
            return start_response(status, headers, *rest)

        body = self._flask(environ, start)
        self._record(environ, environ.get("heart.route", "(unmatched)"), sent[-1], started)
        _limit_waiting(environ, self._send_seconds)
        return body

    def _record(self, environ: Environ, route: str, status: int, started: float) -> None:
        seconds = time.perf_counter() - started
        self._metrics.request(route, status, seconds)
        method = environ["REQUEST_METHOD"]
        if method not in _METHODS:
            method = "OTHER"
        if not self._log.write(environ["heart.request_id"], method, route, status, seconds):
            self._metrics.count("heart_log_lines_lost_total")


class _Corked(list[bytes]):
    """The body of an answer, whose beginning goes out in one packet with the headers.

    gunicorn writes headers and body apart, and each packet wakes the client.
    """

    def __init__(self, pieces: Iterable[bytes], connection: Any) -> None:
        super().__init__(pieces)
        self._connection = connection
        self._cork(True)

    def _cork(self, corked: bool) -> None:
        with _NO_TCP:
            self._connection.setsockopt(socket.IPPROTO_TCP, _CORK, corked)

    def close(self) -> None:
        """Send what is left. A WSGI server calls this once it has written everything."""
        self._cork(False)


def _limit_waiting(environ: Environ, seconds: float | None) -> None:
    """Limit how long this request's connection may wait for its client; None: other limits do."""
    connection = environ.get("gunicorn.socket")
    if connection is not None:
        connection.settimeout(seconds)


def _take_off(root: str, environ: Environ) -> None:
    """Take the path below which a proxy shows the service off the path, where the proxy has not."""
    environ["SCRIPT_NAME"] = root
    if (environ["PATH_INFO"] + "/").startswith(root + "/"):
        environ["PATH_INFO"] = environ["PATH_INFO"][len(root) :] or "/"


def problem_answer(problem: Problem, environ: Environ) -> Answer:
    """Return a problem as application/problem+json."""
    body = problem_body(problem, environ["heart.request_id"])
    return Answer(problem.status, body, MEDIA_TYPE, problem.headers)
