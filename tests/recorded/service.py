"""A running service, and its answers without what varies."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.recorded.project import SECONDS, Project

GUNICORN = ("gunicorn", "-c", "serving/gunicorn.conf.py")


class Request(NamedTuple):
    """A request. A body of None sends none; `length` announces one that is not sent."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = MappingProxyType({})
    length: int | None = None


class Answer(NamedTuple):
    """An answer as it came."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass
class Service:
    """A service that listens on a port of its own choice."""

    project: Project
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def port(self) -> int:
        """The port that gunicorn says it listens on."""
        found = re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", self.log.read_text())
        assert found, self.log.read_text()
        return int(found[1])

    def send(self, request: Request) -> Answer:
        """Send one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            connection.putrequest(request.method, request.path)
            size = len(request.body) if request.body is not None else None
            length = request.length if request.length is not None else size
            if length is not None and "Transfer-Encoding" not in request.headers:
                connection.putheader("Content-Length", str(length))
            for name, value in request.headers.items():
                connection.putheader(name, value)
            connection.endheaders(request.body)
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()

    def post(self, path: str, content: object) -> tuple[int, Any]:
        """Send JSON, and return status and content of the answer."""
        body = json.dumps(content).encode()
        answer = self.send(Request("POST", path, body, {"Content-Type": "application/json"}))
        return answer.status, json.loads(answer.body)

    def wait_for(self, version: str, content: object) -> None:
        """Wait until every one of some answers in a row is of a version."""

        def serves() -> bool:
            answers = [self.post("/predict", content)[1] for _ in range(4)]
            return all(answer.get("model_version") == version for answer in answers)

        self.wait_until(serves, f"an answer of {version}")

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something holds; a service that has ended never gets there."""
        end = time.monotonic() + SECONDS
        while True:
            with suppress(OSError, AssertionError):
                if condition():
                    return
            alive = self.process.poll() is None
            assert alive and time.monotonic() < end, f"no {what}: {self.log.read_text()}"  # noqa: PT018
            time.sleep(0.1)

    def record(self, request: Request) -> dict[str, Any]:
        """Return status, headers and body of an answer, without what varies."""
        answer = self.send(request)
        sent = request.headers.get("X-Request-ID", "")
        headers = {name: _header(name, value, sent) for name, value in answer.headers}
        kind = headers.get("Content-Type", "").partition(";")[0]
        # Compressed or not, whole or not: a body is as long as its head says.
        declared = dict(answer.headers).get("Content-Length")
        if declared is not None and request.method != "HEAD":
            assert int(declared) == len(answer.body), request
        body = self._body(kind, answer.body) if answer.body else None
        return {"status": answer.status, "headers": headers, "body": body}

    def _body(self, kind: str, body: bytes) -> Any:
        if kind in ("text/css", "text/javascript") or kind.startswith("image/"):
            return "<file>"
        if kind == "text/html":
            return read_page(body.decode(), self.project.steady)
        text = self.project.steady(body.decode())
        text = re.sub(r'("request_id": ")[0-9a-f]{16}"', r'\1<id>"', text)
        if kind.endswith("json"):
            return _without_age(json.loads(text))
        return text.splitlines()


def _header(name: str, value: str, sent: str) -> str:
    if name in ("Date", "Content-Length", "ETag", "Expires", "Last-Modified"):
        return "<varies>"
    if name == "Allow":
        return ", ".join(sorted(value.split(", ")))
    if name == "X-Request-ID":
        return "<as sent>" if sent == value else "<made>"
    return value


def _without_age(content: Any) -> Any:
    name = "seconds_since_registry_answered"
    if isinstance(content, dict) and isinstance(content.get(name), int | float):
        return {**content, name: "<seconds>"}
    return content


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.links: set[str] = set()
        self.fields: dict[str, list[str]] = {}
        self.wrong: list[str] = []
        self._field = ""
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._silent += tag in ("script", "style")
        self.links |= {given[name] for name in ("href", "src", "action") if name in given}
        if tag in ("input", "select"):
            self._field = given.get("name", "")
            self.fields[self._field] = [given["value"]] if "value" in given else []
            self.wrong += [self._field] * ("aria-invalid" in given)
        elif tag == "option":
            chosen = " (chosen)" if "selected" in given else ""
            self.fields[self._field].append(given.get("value", "") + chosen)

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._silent and data.strip():
            self.text.append(" ".join(data.split()))


def read_page(text: str, steady: Callable[[str], str]) -> dict[str, Any]:
    """Return the words of a page, and apart from them what a redesign must keep."""
    page = _Page()
    page.feed(text)
    pieces = [steady(piece) for piece in page.text]
    words = " ".join(pieces)
    return {
        "text": pieces,
        "numbers": sorted(
            set(re.findall(r"(?<![\w.])[+\N{MINUS SIGN}-]?\d+(?:\.\d+)?(?![\w.]*\w)", words))
        ),
        "links": sorted(page.links),
        "fields": page.fields,
        "wrong": page.wrong,
    }


@contextmanager
def running(
    project: Project, uri: str, command: tuple[str, ...] = GUNICORN, **env: str
) -> Iterator[Service]:
    """Run the service while the block lasts, with one worker and on a port that it picks."""
    log = project.work / f"service-{time.monotonic_ns()}.log"
    given = {
        "MLFLOW_TRACKING_URI": uri,
        "HEART_PORT": "0",
        "HEART_WORKERS": "1",
        "HEART_POLL_SECONDS": "0.5",
        "HEART_ACCESS_LOG": "",
        "HEART_PATIENT_SECONDS": "60",  # a busy machine is no reason to refuse a model
        **env,
    }
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=project.path,
            env=project.environment(**given),
            stdout=file,
            stderr=file,
        )
    service = Service(project, process, log)
    try:
        service.wait_until(lambda: service.send(Request("GET", "/ready")).status > 0, "service")
        yield service
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(SECONDS)
