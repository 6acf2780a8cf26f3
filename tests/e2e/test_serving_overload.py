"""Clients that ask for too much, in odd ways, or do not take what they asked for."""

import http.client
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from clinical.schema import FEATURES
from tests.serving.service import JSON, PATIENT, Load, Service, environment, running, wait_for

MIB = 2**20


@pytest.fixture(scope="module")
def service(new_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("home")
    settings = {
        "MODEL_URI": str(new_folder),
        "HEART_SEND_SECONDS": "2",
        "HEART_WEBHOOK_SECRET": "a secret for tests",
    }
    with running(home, "", workers=1, **settings) as made:
        yield made


def test_description_and_service_agree(service: Service, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{service.port}/openapi.json"
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", url, "--checks", "all",
         "--max-examples", "60", "--seed", "1", "--phases", "examples,coverage,fuzzing"],
        env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, timeout=900,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def connect(service: Service, content: bytes, buffer: int | None = None) -> socket.socket:
    """Send something on a connection of its own, and read nothing."""
    connection = socket.socket()
    if buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.connect(("127.0.0.1", service.port))
    connection.sendall(content)
    return connection


def test_readers_that_never_read_are_let_go_and_hold_up_nobody(service: Service) -> None:
    page = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n"
    readers = [connect(service, page * 4, buffer=4096) for _ in range(260)]
    try:
        with Load(service.port, connections=2) as load:
            # Did they wait for the readers, one after the other, it would take many minutes.
            wait_for(lambda: load.statuses[200] > 1000, what="answers meanwhile")
        load.assert_lost_nothing()
        worker = psutil.Process(service.workers()[0].pid)
        wait_for(lambda: len(worker.net_connections("tcp")) < 100, what="the end of the readers")
    finally:
        for reader in readers:
            reader.close()
    assert "Traceback" not in service.log.read_text()


def test_a_burst_of_explanations_whose_clients_left_holds_up_nobody(service: Service) -> None:
    unlike = {f.name: max(f.codes) if f.codes else f.high for f in FEATURES}
    body = json.dumps(unlike).encode()
    head = b"POST /explain HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    asked = head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    for _ in range(1000):
        connect(service, asked).close()
    with Load(service.port, connections=2, pause=0.01) as load:
        wait_for(lambda: load.statuses[200] > 100, what="answers meanwhile")
    load.assert_lost_nothing()
    assert service.ready()[0] == 200
    assert service.ask("/explain", body)[0] == 200
    waiting = [connect(service, asked) for _ in range(200)]
    answers = {int(connection.recv(100).split()[1]) for connection in waiting}
    assert answers == {200, 503}
    for connection in waiting:
        connection.close()


def test_no_value_of_a_refused_batch_is_in_the_log(service: Service) -> None:
    body = b'{"inputs": "' + b"4711" * 10_000 + b'"}'
    assert service.ask("/invocations", body)[0] == 400
    assert "47114711" not in service.log.read_text()


BODIES = {
    "empty lists": b'{"instances":[' + b"[]," * (31 * MIB // 3) + b"[]]}",
    "empty objects": b'{"instances":[' + b"{}," * (31 * MIB // 3) + b"{}]}",
    "brackets": b"[" * 31 * MIB,
    "lines": b"age\n" * (31 * MIB // 4),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_batch_of_nothing_is_refused_before_it_takes_memory(service: Service, name: str) -> None:
    worker = psutil.Process(service.workers()[0].pid)
    ended, peak = threading.Event(), [0]
    before = worker.memory_info().rss

    def watch() -> None:
        while not ended.wait(0.005):
            peak[0] = max(peak[0], worker.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    kind = "text/csv" if name == "lines" else "application/json"
    with Load(service.port, connections=1, pause=0.01) as load:
        status, problem = service.ask("/invocations", BODIES[name], {"Content-Type": kind})
    ended.set()
    thread.join()
    assert (status, problem["detail"]) == (400, "The rows are too short to hold a patient.")
    load.assert_lost_nothing()
    assert peak[0] - before < 3 * len(BODIES[name])
    assert "Traceback" not in service.log.read_text()


def test_a_killed_worker_takes_no_more_with_it_than_it_had_in_hand(service: Service) -> None:
    connections = [http.client.HTTPConnection("127.0.0.1", service.port) for _ in range(8)]
    for connection in connections:
        connection.request("POST", "/predict", PATIENT, JSON)
        connection.getresponse().read()
    service.workers()[0].kill()
    for connection in connections:
        connection.close()
        # Anew, as a client does whose kept connection was closed.
        connection.request("POST", "/predict", PATIENT, JSON)
        assert connection.getresponse().status == 200
        connection.close()
