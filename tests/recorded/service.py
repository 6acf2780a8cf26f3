"""A running service, and its answers without what varies."""

import http.client
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.recorded.project import Project
from tests.serving import service


class Request(NamedTuple):
    """A request. A body of None sends none; `length` announces one that is not sent."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = MappingProxyType({})
    length: int | None = None


@dataclass
class Service(service.Service):
    """A service of a project that is recorded."""

    project: Project

    def record(self, request: Request) -> dict[str, Any]:
        """Send a request on a connection of its own; return the answer without what varies."""
        method, path, body, headers, length = request
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)) as connection:
            connection.putrequest(method, path)
            if length is None and body is not None:
                length = len(body)
            if length is not None and "Transfer-Encoding" not in headers:
                connection.putheader("Content-Length", str(length))
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            content = answer.read()
        # Compressed or not, whole or not: a body is as long as its head says.
        declared = answer.getheader("Content-Length")
        if declared is not None and method != "HEAD":
            assert int(declared) == len(content), request
        sent = headers.get("X-Request-ID", "")
        found = {name: _header(name, value, sent) for name, value in answer.getheaders()}
        kind = found.get("Content-Type", "").partition(";")[0]
        return {
            "status": answer.status,
            "headers": found,
            "body": self._body(kind, content) if content else None,
        }

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
def running(project: Project, uri: str, **env: str) -> Iterator[Service]:
    """Run the service while the block lasts, with one worker and in the project's environment."""
    given = project.environment(**env)
    command = ("gunicorn", "-c", "serving/gunicorn.conf.py")
    with service.running(
        project.work, uri, workers=1, command=command, wait=False, cwd=project.path, **given
    ) as made:
        yield Service(made.process, made.port, made.log, project)
