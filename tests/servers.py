"""Servers on loopback that give a file, or misbehave as servers on the internet do."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answers(BaseHTTPRequestHandler):
    """Gives each request to a behaviour, which is told how many there were before it."""

    server: FileServer

    def do_HEAD(self) -> None:
        self.server.heads += 1
        self.answer(200)

    def do_GET(self) -> None:
        self.server.ranges.append(self.headers.get("Range", ""))
        self.server.behave(self, len(self.server.ranges))

    def answer(self, code: int, **headers: object) -> None:
        """Send an answer's head."""
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class FileServer(ThreadingHTTPServer):
    """A server on this machine: what it was asked, and how it answers."""

    daemon_threads = True

    def __init__(self, behave: Callable[[Answers, int], None]) -> None:
        self.ranges: list[str] = []
        self.heads = 0
        self.behave = behave
        super().__init__(("127.0.0.1", 0), Answers)

    def url(self, name: str = "heart+disease.zip") -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


@contextmanager
def serving(behave: Callable[[Answers, int], None]) -> Iterator[FileServer]:
    """Run a server in a thread while the block lasts."""
    server = FileServer(behave)
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def gives(
    content: bytes, *, cut_first_after: int | None = None, ranges: bool = True, **headers: str
) -> Callable[[Answers, int], None]:
    """Return a behaviour that gives a file; the first answer is cut after so many bytes."""

    def behave(request: Answers, number: int) -> None:
        size = len(content)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
        part = wanted if ranges else None
        start = int(part[1]) if part else 0
        stop = min(int(part[2]) + 1, size) if part and part[2] else size
        if start > size:
            request.answer(416, Content_Length=0)
            return
        span = {"Content_Range": f"bytes {start}-{stop - 1}/{size}"} if part else {}
        request.answer(206 if part else 200, Content_Length=stop - start, **span, **headers)
        end = start + cut_first_after if number == 1 and cut_first_after else stop
        request.wfile.write(content[start:end])
        request.close_connection = True

    return behave


def fails(
    code: int, then: Callable[[Answers, int], None], times: int = 1
) -> Callable[[Answers, int], None]:
    """Return a behaviour that answers with an error so many times, then as another does."""

    def behave(request: Answers, number: int) -> None:
        if number <= times:
            request.answer(code, Content_Length=0)
        else:
            then(request, number)

    return behave


def hangs(seconds: float = 5) -> Callable[[Answers, int], None]:
    """Return a behaviour that takes a request and says nothing for a while."""
    return lambda _request, _number: time.sleep(seconds)


@contextmanager
def silent_port() -> Iterator[int]:
    """Give a port on which connections are accepted by the kernel and never answered."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        yield listener.getsockname()[1]


def closed_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
