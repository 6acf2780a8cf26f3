"""An attack on the service with requests made at random, while the registry and the workers change.

    python -m benchmarks.attack --minutes 60 --seed 1

Eight attackers send what no client should: JSON, CSV and forms broken in every place, heads,
methods and paths that HTTP barely allows, bodies that end too early. Another thread moves the
champion, writes nonsense into tags and signals gunicorn. Four good clients ask all the while. Ends
with 1 where a good request is lost, where anything is answered 500 or with a status that is not
among STATUSES, or where a value of a request stands in the log, the metrics or the state.
"""

import argparse
import json
import random
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.faults import NAME, make_registry
from clinical.schema import FEATURES
from tests.serving.service import Load, Service, running, wait_for

EXAMPLE = {feature.name: feature.example for feature in FEATURES}
MARK = "7319.7319"
"""Stands for a patient's value in every request: it must be found nowhere afterwards."""
STATUSES = {
    200, 204, 301, 302, 304, 308, 400, 401, 403, 404, 405, 406, 408, 411, 412, 413, 414, 415, 416,
    417, 422, 431, 501, 503, 505,
}  # fmt: skip
SECONDS = 15.0
ODD: list[Any] = [
    None, True, False, "", " ", MARK, float(MARK), -1, 0, 10**400, 1e308, -1e308, 5e-324, 2**63,
    "NaN", "Infinity", "1e400", "\u0665\u0664", "5_4", "54\x00", "\ud800", "=1+1", "<script>",
    "'; --", [], {}, [54], {"age": 54}, "٥٤", "½", "0x36", "1" * 5000, "\u202e54", "+54", "54.",
    ".5", "- 54", "1,5",
]  # fmt: skip
PATHS = [
    "/predict", "/explain", "/invocations", "/predict", "/explain", "/invocations", "/", "/monitor",
    "/model", "/model/card.md", "/model/plots/roc.png", "/ping", "/health", "/ready", "/version",
    "/docs", "/openapi.json", "/docs/openapi-3.0.json", "/metrics", "/static/style.css",
    "/webhooks/mlflow",
]  # fmt: skip
TYPES = [
    "application/json", "application/json; charset=utf-16", "text/csv",
    "text/csv; charset=latin-1", "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x", "multipart/form-data", "",
    "application/json; charset=nonsense", "text/plain", "a" * 300, "application/json;;;=", "*/*",
    "text/csv; header=absent", "application/vnd.api+json", "APPLICATION/JSON",
]  # fmt: skip
HEADS = [
    "Accept: text/html;q=0", "Accept: \xff", "Accept-Encoding: gzip;q=x, br",
    "Range: bytes=0-0,5-2", "If-None-Match: *", 'If-None-Match: W/"',
    "If-Modified-Since: yesterday", "Expect: 100-continue", "Expect: the worst", "Upgrade: h2c",
    "Connection: Upgrade, HTTP2-Settings", "Upgrade: websocket", "Connection: close, keep-alive",
    "Content-Encoding: gzip", "Content-Encoding: identity", "TE: x",
    "X-Request-ID: " + "a" * 4000, "X-Request-ID: a b\tc", "Cookie: ;;;=",
    "Authorization: Bearer", "Authorization: Basic !!!", "X-API-Key: \xe9", "Forwarded: for=_x;;",
    "X-Forwarded-For: ::, 1", "X-Forwarded-Proto: gopher", "SCRIPT_NAME: /x", "Script-Name: /x",
    "X-Forwarded-Prefix: //evil", "Host: a:b:c", "Host: [::1", "Origin: null", "Referer: x" * 50,
    "X-MLflow-Signature: v1,AAAA", "X-MLflow-Timestamp: 99999999999999999999",
    "Trailer: Content-Length", "Content-Type: text/csv", "Content-Length: +5",
    "Content-Length: 5, 5", "Transfer-Encoding: chunked", "Transfer-Encoding: xchunked",
    "Content-Disposition: form-data", "Max-Forwards: 0", "Pragma: x" * 9, " folded: header",
    "no colon here", ": empty name", "Bad\x00Name: x", "Name : blank", "X: a\r b",
]  # fmt: skip
METHODS = [
    "GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "CONNECT", "PATCH", "get", "PRI",
]  # fmt: skip
TARGETS = [
    "*", "http://127.0.0.1/ready", "//ready", "/ready/..", "/%2e%2e/etc/passwd",
    "/static/%2e%2e/app.py", "/static/..%5capp.py", "/static/style.css%00.js", "/%ff%fe",
    "/" + "a" * 9000, "/predict?" + "a=b&" * 900, "/model?version=%00", "/predict/", "/predict#x",
    "/predict;x=y", "/\\ready", "/ready?\x80", "ready", "", "/explain?top=" + MARK,
    "/result?age=" + MARK, "/docs/%c0%ae", "/metrics%20", "/?" + "%" * 50,
]  # fmt: skip


def any_json(rng: random.Random) -> bytes:
    """Return JSON of a patient, or of something like it, broken at random."""
    patient: Any = {**EXAMPLE, "chol": float(MARK)}
    for _ in range(rng.randint(0, 3)):
        name = rng.choice([*EXAMPLE, MARK, "", "__proto__", "age\u0000", "AGE"])
        if rng.random() < 0.2:
            patient.pop(name, None)
        else:
            patient[name] = rng.choice(ODD)
    split = {"columns": list(patient), "data": [list(patient.values())]}
    whole: Any = rng.choice([
        patient,
        [patient],
        {"inputs": patient},
        {"dataframe_records": [patient] * rng.randint(0, 40)},
        {"dataframe_split": split},
        {"dataframe_split": {"columns": rng.choice(ODD), "data": rng.choice(ODD)}},
        {"instances": [patient], "inputs": patient},
        {name: [value] for name, value in patient.items()},
        rng.choice(ODD),
    ])  # fmt: skip
    text = json.dumps(whole, ensure_ascii=rng.random() < 0.5)
    body = text.encode("utf-8", "surrogatepass")
    return break_bytes(rng, body) if rng.random() < 0.5 else body


def any_csv(rng: random.Random) -> bytes:
    """Return rows of patients as CSV, broken at random."""
    names = [*EXAMPLE]
    rng.shuffle(names)
    rows = [[str(EXAMPLE[name]) for name in names] for _ in range(rng.randint(0, 20))]
    for row in rows:
        if rng.random() < 0.5:
            row[rng.randrange(len(row))] = str(rng.choice(ODD))
        if rng.random() < 0.1:
            row.append(MARK)
    separator = rng.choice([",", ",", ",", ";", "\t", "\x00", ", "])
    end = rng.choice(["\n", "\r\n", "\r", "\n\n", '"\n"'])
    text = end.join(separator.join(row) for row in [names, *rows])
    body = text.encode(rng.choice(["utf-8", "utf-8-sig", "utf-16", "utf-7"]), "surrogatepass")
    return break_bytes(rng, body) if rng.random() < 0.4 else body


def any_form(rng: random.Random) -> bytes:
    """Return a form's fields, urlencoded or in parts, broken at random."""
    values = {name: str(value) for name, value in EXAMPLE.items()} | {"chol": MARK}
    values[rng.choice(list(values))] = str(rng.choice(ODD))
    if rng.random() < 0.5:
        text = "&".join(f"{name}={value}" for name, value in values.items())
        return break_bytes(rng, text.encode("utf-8", "surrogatepass"))
    parts = "".join(
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in values.items()
    )
    return break_bytes(rng, (parts + "--x--\r\n").encode("utf-8", "surrogatepass"))


def break_bytes(rng: random.Random, body: bytes) -> bytes:
    """Return a body in which a few pieces were changed, doubled, dropped or put elsewhere."""
    pieces = bytearray(body)
    for _ in range(rng.randint(0, 4)):
        at = rng.randrange(len(pieces) + 1)
        size = rng.choice([1, 1, 2, 8, 64])
        piece = rng.choice([
            bytes(rng.randrange(256) for _ in range(size)), pieces[at : at + size] * 20, b"",
            b"\x00", b"\xef\xbb\xbf", b"[" * 2000, b'{"a":' * 500, b"\xed\xa0\x80", b"%00", b"\r\n",
        ])  # fmt: skip
        pieces[at : at + size] = piece
    return bytes(pieces)


def any_request(rng: random.Random) -> bytes:
    """Return the bytes of one request, or of several on one connection."""
    body = rng.choice([any_json, any_csv, any_form])(rng)
    target = rng.choice(TARGETS) if rng.random() < 0.25 else rng.choice(PATHS)
    method = rng.choice(METHODS) if rng.random() < 0.3 else rng.choice(["GET", "POST"])
    version = (
        "HTTP/1.1" if rng.random() < 0.93 else rng.choice(["HTTP/1.0", "HTTP/2.0", "HTTP/0.9", ""])
    )
    lines = [f"{method} {target} {version}", "Host: x", f"Content-Type: {rng.choice(TYPES)}"]
    lines += rng.sample(HEADS, rng.choice([0, 0, 1, 1, 2, 3]))
    if rng.random() < 0.02:
        lines += [f"X-{number}: {MARK}" for number in range(rng.choice([90, 200]))]
    framing = rng.random()
    if framing < 0.7:
        lines.append(f"Content-Length: {len(body)}")
    elif framing < 0.9:
        lines.append("Transfer-Encoding: chunked")
        body = chunked(rng, body)
    elif framing < 0.95:
        lines.append(f"Content-Length: {rng.choice([0, 1, len(body) + 50, -1, 10**30])}")
    fields = lines[1:]
    rng.shuffle(fields)
    head = ("\r\n".join([lines[0], *fields]) + "\r\n\r\n").encode("latin-1", "replace")
    request = head + body
    if rng.random() < 0.05:
        return request * rng.randint(2, 30)
    if rng.random() < 0.05:
        return request[: rng.randrange(len(request))]
    return break_bytes(rng, request) if rng.random() < 0.05 else request


def chunked(rng: random.Random, body: bytes) -> bytes:
    """Return a body in chunks, of which some are malformed."""
    out = b""
    while body:
        size = rng.randint(1, 200)
        piece, body = body[:size], body[size:]
        told = rng.choice(
            [f"{len(piece):x}"] * 20 + [f"{len(piece):x};a=b", f"0{len(piece):X}", "g", "-1"]
        )
        out += f"{told}\r\n".encode() + piece + b"\r\n"
    return out + rng.choice(
        [b"0\r\n\r\n"] * 8 + [b"0\r\nX: y\r\n\r\n", b"0\r\nbad trailer\r\n\r\n", b""]
    )


class Attacker(threading.Thread):
    """Sends one request after the other until told to end."""

    def __init__(self, port: int, seed: int, ended: threading.Event) -> None:
        super().__init__(daemon=True)
        self.port, self.seed, self.ended = port, seed, ended
        self.statuses, self.wrong = Counter[str](), list[tuple[bytes, bytes]]()

    def run(self) -> None:
        """Attack, and keep what was answered with a status that nobody documents."""
        rng = random.Random(self.seed)
        while not self.ended.is_set():
            request = any_request(rng)
            try:
                answer = self.send(request, rng)
            except OSError as error:
                self.statuses[type(error).__name__] += 1
                continue
            status = answer[9:12].decode("latin-1") if answer.startswith(b"HTTP/1.") else "none"
            self.statuses[status] += 1
            if answer and status != "100" and (not status.isdigit() or int(status) not in STATUSES):
                self.wrong.append((request[:1000], answer[:500]))
            time.sleep(0.01)

    def send(self, request: bytes, rng: random.Random) -> bytes:
        """Return the beginning of what is answered to these bytes."""
        with socket.create_connection(("127.0.0.1", self.port), SECONDS) as connection:
            connection.sendall(request)
            if rng.random() < 0.1:
                return b""
            if rng.random() < 0.5:
                connection.shutdown(socket.SHUT_WR)
            else:
                connection.settimeout(0.5)
            answer = b""
            with suppress(TimeoutError):
                while len(answer) < 4000 and (piece := connection.recv(4000)):
                    answer += piece
            return answer


def change(service: Service, client: Any, rng: random.Random) -> None:
    """Change something in the registry, or signal a process of the service."""
    version = rng.choice("12")
    tag = rng.choice(["gate.verdict", "gate.reason", "gate.decision", "gate.run", "x"])
    kind = rng.randrange(6)
    if kind < 2:
        client.set_registered_model_alias(NAME, ("champion", "challenger")[kind], version)
    elif kind == 2:
        text = rng.choice(["", "=1+1", "<script>", "[", "{}", "1e400", "\ufffe", "x" * 4000])
        client.set_model_version_tag(NAME, version, tag, text)
    elif kind == 3:
        client.update_model_version(NAME, version, rng.choice(["", "<b>", "x" * 5000]))
    elif kind == 4:
        signals = [signal.SIGHUP, signal.SIGUSR1, signal.SIGTTIN, signal.SIGTTOU]
        service.process.send_signal(rng.choice(signals))
    else:
        service.follower().kill()


def disturb(service: Service, uri: str, seed: int, ended: threading.Event) -> Counter[str]:
    """Change something every few seconds; return what came of it, counted."""
    import mlflow

    client, rng, done = mlflow.MlflowClient(uri, uri), random.Random(seed), Counter[str]()
    while not ended.wait(rng.uniform(1, 5)):
        try:
            change(service, client, rng)
        except (mlflow.MlflowException, StopIteration) as error:
            done[type(error).__name__] += 1
        else:
            done["done"] += 1
    return done


def traces(folder: Path) -> list[Path]:
    """Return the files below a folder in which a value of a request stands."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and MARK.encode() in path.read_bytes()
    ]


def main() -> int:
    """Attack for as long as asked, and print what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    ended = threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        uri = make_registry(Path(folder))
        home = Path(folder) / "home"
        changed = []
        with running(home, uri, HEART_PREDICTION_LOG="profile", HEART_SHADOW="0.5") as service:
            attackers = [Attacker(service.port, given.seed * 1000 + n, ended) for n in range(8)]
            registry = threading.Thread(
                target=lambda: changed.append(disturb(service, uri, given.seed, ended))
            )
            with Load(service.port, connections=4, pause=0.05) as load:
                for thread in [*attackers, registry]:
                    thread.start()
                time.sleep(60 * given.minutes)
                ended.set()
                for thread in [*attackers, registry]:
                    thread.join()
            wait_for(lambda: service.predict()[0] == 200)
            metrics = str(service.ask("/metrics")[1])
        found = traces(home)
        log = service.log.read_text(errors="replace")
    total = sum((attacker.statuses for attacker in attackers), Counter[str]())
    wrong = [item for attacker in attackers for item in attacker.wrong]
    known = load.versions["registry-v1"] + load.versions["registry-v2"]
    lost = load.statuses.total() - load.statuses[200] + load.versions.total() - known
    for request, answer in wrong[:20]:
        print(f"--- {request!r}\n    {answer!r}")
    print(
        f"{given.minutes:g} minutes, seed {given.seed}; "
        f"changes of the registry and the workers: {dict(changed[0])}"
    )
    print(f"attackers: {total.total():,} requests, {dict(sorted(total.items()))}")
    print(f"good clients: {dict(load.statuses)}, p99 {1000 * load.quantile(0.99):.0f} ms")
    print(f"{len(wrong)} answers of another status, {log.count('Traceback')} tracebacks in the log")
    print(f"a value of a request in: {[str(path) for path in found] or 'no file'}")
    return 1 if wrong or lost or found or "Traceback" in log or MARK in metrics else 0


if __name__ == "__main__":
    sys.exit(main())
