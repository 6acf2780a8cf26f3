"""What goes wrong in operation, each with load running."""

import http.client
import resource
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.conftest import need
from tests.e2e.registry import Registry
from tests.serving.service import JSON, PATIENCE, PATIENT, ROOT, Load, Service, running, wait_for

LATE = {"GUNICORN_CMD_ARGS": "--graceful-timeout 900"}
"""So that whatever does not end by itself is not ended before the test has seen it."""


@pytest.fixture(scope="module")
def service(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("home"), registry.uri) as made:
        yield made


HOST = b" HTTP/1.1\r\nHost: x\r\n"
FORM = b"application/x-www-form-urlencoded"
JSON_TYPE = b"application/json"
JSON_HEAD = b"POST /predict" + HOST + b"Content-Type: application/json\r\n"
CHUNKED = JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def sized(length: int) -> bytes:
    """Return the head of a request whose body is so long."""
    return JSON_HEAD + b"Content-Length: %d\r\n\r\n" % length


def answer_to(service: Service, content: bytes) -> bytes:
    """Send something on a connection of its own, and return all that comes back."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(2**16), b""))


def test_a_worker_killed_with_9_is_replaced_and_no_request_stays_unanswered(
    service: Service,
) -> None:
    with Load(service.port, connections=8, retry=True) as load:
        for _ in range(3):
            victims = wait_for(lambda: len(service.workers()) == 2 and service.workers())
            victims[0].kill()
            time.sleep(1)
        wait_for(lambda: len(service.workers()) == 2)
        time.sleep(1)
    load.assert_lost_nothing()


def test_sigterm_as_soon_as_it_listens_ends_it_at_once(registry: Registry, tmp_path: Path) -> None:
    with running(tmp_path / "home", registry.uri, wait=False, **LATE) as service:
        wait_for(lambda: "Listening at: " in service.log.read_text())
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(PATIENCE) == 0
        assert "Traceback" not in service.log.read_text()


def test_sigterm_ends_it_in_time_and_finishes_what_it_has(
    registry: Registry, tmp_path: Path
) -> None:
    with running(tmp_path / "home", registry.uri, **LATE) as service:
        slow = socket.create_connection(("127.0.0.1", service.port))
        whole = sized(len(PATIENT)) + PATIENT
        slow.sendall(whole[:-40])
        with Load(service.port, connections=4, retry=True) as load:
            wait_for(lambda: load.statuses[200], what="an answer")
            service.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            slow.sendall(whole[-40:])
            assert slow.recv(100).startswith(b"HTTP/1.1 200")
            slow.close()
            load._ended.set()
        assert service.process.wait(PATIENCE) == 0
        assert set(load.statuses) == {200}
        log = service.log.read_text()
        assert "SIGABRT" not in log, log  # such as of a thread that was lost in a fork
        assert "follower.py" not in log, log
        assert "Traceback" not in log, log
    assert not list((tmp_path / "home" / "cache").rglob("current.json"))


def test_slow_clients_do_not_hold_up_fast_ones(service: Service) -> None:
    ended = threading.Event()
    slow = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(50)]

    def drip() -> None:
        for byte in sized(len(PATIENT)) + PATIENT:
            for connection in slow:
                with suppress(OSError):
                    connection.sendall(bytes([byte]))
            if ended.wait(1):
                return

    thread = threading.Thread(target=drip)
    thread.start()
    with Load(service.port, connections=4) as load:
        # Each that waited for a slow one would wait for minutes.
        wait_for(lambda: load.statuses[200] > 1000, what="answers to the fast")
    ended.set()
    thread.join()
    for connection in slow:
        connection.close()
    load.assert_lost_nothing()


def test_a_body_that_never_ends_is_a_408(registry: Registry, tmp_path: Path) -> None:
    kinds = {b"/predict": JSON_TYPE, b"/explain": JSON_TYPE, b"/invocations": JSON_TYPE, b"/": FORM}
    connections = []
    with (
        running(tmp_path / "home", registry.uri, workers=1, HEART_BODY_SECONDS="1") as service,
        ExitStack() as stack,
    ):
        for path, kind in kinds.items():
            connection = socket.create_connection(("127.0.0.1", service.port), timeout=60)
            connections.append(stack.enter_context(connection))
            connection.sendall(
                b"POST %b%bContent-Type: %b\r\nContent-Length: 100\r\n\r\nage=54"
                % (path, HOST, kind)
            )
        for connection in connections:
            assert connection.recv(100).startswith(b"HTTP/1.1 408")


def test_two_thousand_connections_at_once_are_all_answered(service: Service) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need(hard >= 5000, "too few files may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 5000), hard))
    connections = [
        http.client.HTTPConnection("127.0.0.1", service.port, timeout=60) for _ in range(2000)
    ]
    for connection in connections:
        connection.connect()
    for connection in connections:
        connection.request("POST", "/predict", PATIENT, JSON)
    answers = [connection.getresponse() for connection in connections]
    assert {(answer.status, answer.read()[:1]) for answer in answers} == {(200, b"{")}
    for connection in connections:
        connection.close()
    assert service.predict()[0] == 200


def test_beyond_what_is_held_at_once_it_is_a_503_with_retry_after(
    registry: Registry, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    with running(home, registry.uri, workers=1, HEART_MAX_CONCURRENCY="4") as service:
        with Load(service.port, connections=40) as load:
            wait_for(lambda: {200, 503} <= set(load.statuses), what="both kinds of answers")
        assert set(load.statuses) == {200, 503}
        assert "heart_shed_requests_total" in service.ask("/metrics")[1]
        assert service.predict()[0] == 200


def test_twenty_swaps_under_load_fail_nothing(registry: Registry, service: Service) -> None:
    with Load(service.port, connections=16, pause=0.01) as load:
        for version in (2, 1) * 10:
            registry.champion(version)
            wait_for(lambda: service.version() == f"registry-v{version}")  # noqa: B023
    load.assert_lost_nothing()
    assert set(load.versions) == {"registry-v1", "registry-v2"}


# What is refused before its body is read, and the body then taken for the next request.
REFUSED = (
    b"POST /predict" + HOST + b"Content-Type: text/plain\r\n",
    b"POST /invocations" + HOST + b"Content-Type: text/plain\r\n",
    b"POST /nothing?name=smith" + HOST + b"Content-Type: application/json\r\n",
    b"PUT /predict" + HOST + b"Referer: http://x/smith\r\nUser-Agent: smith\r\n",
)
BODIES = (
    b"Transfer-Encoding: chunked\r\n\r\nsmith\r\n{}\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n5\r\nsmithjunk\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n0\r\nsmith\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\nGET /smith HTTP/smith\r\n\r\n",
    b"Content-Length: 2\r\n\r\n{}smith: 1\r\n\r\n",
    b"Content-Length: 5000\r\n\r\nsmith",
)


@pytest.mark.parametrize("parser", ["auto", "python"])
@pytest.mark.parametrize("command", ["with our configuration", "bare"])
def test_nothing_that_was_sent_is_repeated_in_the_log(
    registry: Registry, tmp_path: Path, parser: str, command: str
) -> None:
    # Such as the rest of a patient, where a client has miscounted.
    nonsense = (
        b"GET http://[smith/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"smith\r\n\r\n",
        b"SMITH / HTTP/1.1\r\nHost: smith smith\r\n\r\n",
        b"GET /smith HTTP/smith\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nsmith 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nExpect: smith\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: smith\r\n\r\n",
        sized(10) + PATIENT + b"smith\r\n\r\n",
        b"POST /invocations"
        + HOST
        + b"Content-Type: application/json\r\nContent-Length: 19\r\n\r\n"
        b'{"inputs": "smith"}',
        *(head + body for head in REFUSED for body in BODIES),
    )
    options = f"--http-parser {parser} --access-logfile - --log-level debug"
    own = ("gunicorn", "-c", str(ROOT / "serving" / "gunicorn.conf.py"))
    bare = ("gunicorn", "-k", "gevent", "-b", "127.0.0.1:{port}", "serving:create_app()")
    with running(
        tmp_path / "home", registry.uri, workers=1, GUNICORN_CMD_ARGS=options,
        HEART_ACCESS_LOG="-", command=own if command != "bare" else bare,
    ) as service:  # fmt: skip
        for content in nonsense:
            # 501 is what one of the two parsers says of a transfer coding it does not know.
            answer = answer_to(service, content)
            assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 501")), content
    log = service.log.read_text()
    assert log.count("Invalid request from") >= 6, log
    assert "processing request" not in log  # chunks that are none are our 400, no failure
    assert "Traceback" not in log, log
    assert "smith" not in log.lower(), log


TRAILER = b"2\r\n{}\r\n0\r\nsmith\r\n\r\n"


@pytest.mark.parametrize(("status", "content"), [
    *(
        (400, line + HOST + b"Content-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % kind
         + TRAILER)
        for line in (b"POST /predict", b"POST /explain", b"POST /", b"POST /nothing", b"GET /ready")
        for kind in (JSON_TYPE, FORM)
    ),
    (400, b"GET /ready HTTP/1.1\r\n\r\n"),
    (501, JSON_HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + TRAILER),
    (404, b"GET //metrics" + HOST + b"\r\n"),
    (404, b"GET /static//x" + HOST + b"\r\n"),
    (404, b"GET /static//example.org/" + HOST + b"\r\n"),
    # Without an end of line gunicorn's own parser would wait for it.
    (4, b"\0" * 1000 + b"\r\n\r\n"),
    (4, b"GET\r\n\r\n"),
    (4, b"POST /predict HTTP/1.1\r\nContent-Length: x\r\n\r\n"),
    (4, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    (4, JSON_HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n"),
    (4, JSON_HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (4, JSON_HEAD + b"Content-Length: 5000\r\n\r\n{"),
    (4, CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n"),
    (4, CHUNKED + b"fff\r\n{"),
    (4, CHUNKED + b"ffffffffffffffff\r\n{"),
    (4, CHUNKED + b"2\r\n{}junk"),
    (4, JSON_HEAD + b"SCRIPT_NAME: /elsewhere\r\nContent-Length: 2\r\n\r\n{}"),
    (4, JSON_HEAD + b"X-Request-ID: a\rb\r\nContent-Length: 2\r\n\r\n{}"),
    (4, b"GET /static/..%2f..%2fmodel.py HTTP/1.1\r\nHost: x\r\n\r\n"),
    (4, b"GET /\xff\xfe HTTP/1.1\r\nHost: <script>\r\n\r\n"),
], ids=range(30))  # fmt: skip
def test_what_is_not_http_is_refused_as_http_says_and_does_no_harm(
    service: Service, status: int, content: bytes
) -> None:
    """A status of one digit is that of a class."""
    answer = answer_to(service, content)
    assert answer.startswith(b"HTTP/1.1 %d" % status)
    if status > 4:
        assert answer.count(b"\r\nContent-Length: ") + answer.count(b"<html>") == 1
    assert service.predict()[0] == 200
