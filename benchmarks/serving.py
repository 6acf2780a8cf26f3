"""Measure the service beside its peers, in turn, on the same machine.

Run as ``python -m benchmarks.serving`` (about five minutes; needs Debian's wrk); it writes the
table and a plot to docs/. ``--short`` takes one round of two seconds where the full form takes
three of five, writes nothing, and exits 1 where a figure is missed by more than a factor of two:
that is for CI.

The registry is a temporary one with two models that the project's own steps have made there, with
their defaults, of synthetic patients. All servers run as they are configured by default.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import psutil

from benchmarks.arguments import arguments
from benchmarks.pasting import PAGE, paste
from clinical.schema import FEATURE_NAMES, FEATURES
from tests.serving.forge import patients
from tests.serving.service import environment, free_port

ROOT = Path(__file__).parents[1]
NAME = "heart-disease-model"
PATIENT = {feature.name: feature.example for feature in FEATURES}
SPLIT = {"dataframe_split": {"columns": list(PATIENT), "data": [list(PATIENT.values())]}}
ROWS = 10_000

CONSTANT = """
from flask import Flask
app = Flask(__name__)
@app.post("/predict")
def predict():
    return {"prediction": 1, "confidence": 0.87, "risk_level": "High", "model_version": "x"}
"""
SETTINGS = """
import gevent
bind = "127.0.0.1:{port}"
workers = 1
worker_class = "gevent"
keepalive = 5
http_parser = "auto"
control_socket_disable = True
worker_connections = 4096
def post_request(worker, req, environ, resp):
    gevent.sleep(0)
"""
MODELS = """
from steps import download, preprocess, register, train
for step, words in (
    (download, ["--source=sample"]),
    (preprocess, []),
    (train, ["--random_state=1"]),
    (register, ["--promote=false"]),
    (train, ["--random_state=2"]),
    (register, ["--promote=false"]),
):
    assert step.main(words) == 0
"""
FASTAPI = """
import joblib, pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel, create_model
model = joblib.load("{pickle}")
Patient = create_model("Patient", **{{name: (float, ...) for name in {names}}})
app = FastAPI()
@app.post("/predict")
def predict(patient: Patient):
    p = float(model.predict_proba(pd.DataFrame([patient.model_dump()]))[0, 1])
    return {{"prediction": int(p > 0.5), "confidence": max(p, 1 - p)}}
"""


@dataclass
class Server:
    """How a server is started, and what it is asked."""

    name: str
    command: list[str]
    path: str
    body: dict[str, Any]
    env: dict[str, str] = field(default_factory=dict)


@dataclass
class Found:
    """What was measured of a server."""

    start: float = 0.0
    memory: float = 0.0
    rate: dict[int, float] = field(default_factory=dict)
    p50: dict[int, float] = field(default_factory=dict)
    p99: dict[int, float] = field(default_factory=dict)
    rows: float = 0.0


def post(port: int, path: str, body: bytes, timeout: float = 60) -> bytes:
    """Send one request."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        return bytes(answer.read())


@contextmanager
def started(server: Server, port: int, home: Path) -> Iterator[tuple[int, float]]:
    """Run a server; yield its process id and the seconds to its first answer."""
    words = [word.replace("{port}", str(port)) for word in server.command]
    env = environment(home, **server.env) | {"HEART_PORT": str(port)}
    began = time.monotonic()
    with (home / "servers.log").open("ab") as log:
        process = subprocess.Popen(
            words, cwd=home, env=env, stdout=log, stderr=log, start_new_session=True
        )
    try:
        body = json.dumps(server.body).encode()
        while True:
            try:
                post(port, server.path, body, 5)
                break
            except OSError:
                if process.poll() is not None or time.monotonic() - began > 120:
                    raise SystemExit(f"{server.name} does not start; see {home}") from None
                time.sleep(0.02)
        yield process.pid, time.monotonic() - began
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def memory(pid: int) -> float:
    """Return the proportional set size of a process and its descendants in MB."""
    root = psutil.Process(pid)
    return sum(p.memory_full_info().pss for p in [root, *root.children(recursive=True)]) / 1e6


def wrk(
    port: int, server: Server, connections: int, seconds: float, work: Path
) -> dict[str, float]:
    """Load a server; return requests/s, the 50th and 99th percentile in ms, and failures."""
    script = work / "wrk.lua"
    script.write_text(
        'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
        f"wrk.body = [==[{json.dumps(server.body)}]==]\n"
        "done = function(summary, latency)\n"
        "  local e = summary.errors\n"
        '  io.write(string.format("FOUND %f %f %f %d\\n",'
        " summary.requests / summary.duration * 1e6,"
        " latency:percentile(50) / 1000, latency:percentile(99) / 1000,"
        " e.connect + e.read + e.write + e.status + e.timeout))\nend\n"
    )
    url = f"http://127.0.0.1:{port}{server.path}"
    words = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s"]
    done = subprocess.run(
        [*words, "-s", str(script), url], capture_output=True, text=True, check=True
    )
    match = re.search(r"FOUND (\S+) (\S+) (\S+) (\d+)", done.stdout)
    if match is None:
        raise SystemExit(done.stdout)
    rate, p50, p99, failed = map(float, match.groups())
    return {"rate": rate, "p50": p50, "p99": p99, "failed": failed}


def measure(server: Server, home: Path, seconds: float, batch: bytes | None) -> Found:
    """Measure one server with nothing else running."""
    found = Found()
    port = free_port()
    with started(server, port, home) as (pid, start):
        found.start = start
        wrk(port, server, 4, 1, home)  # warm
        for connections in (1, 16):
            result = wrk(port, server, connections, seconds, home)
            if result["failed"]:
                raise SystemExit(f"{server.name}: {result['failed']:.0f} requests failed")
            found.rate[connections] = result["rate"]
            found.p50[connections], found.p99[connections] = result["p50"], result["p99"]
        found.memory = memory(pid)
        if batch is not None:
            post(port, "/invocations", batch)
            times = []
            for _ in range(3 if seconds < 5 else 7):
                began = time.perf_counter()
                post(port, "/invocations", batch)
                times.append(time.perf_counter() - began)
            found.rows = ROWS / statistics.median(times)
    return found


def medians(rounds: Sequence[Found]) -> Found:
    """Return the median of each figure."""

    def median(values: Sequence[Any]) -> Any:
        if isinstance(values[0], dict):
            return {key: median([value[key] for value in values]) for key in values[0]}
        return statistics.median(values)

    names = [field.name for field in fields(Found)]
    return Found(**{name: median([getattr(found, name) for found in rounds]) for name in names})


def measure_two_workers(server: Server, home: Path) -> float:
    """Return the memory of the service with two workers in MB."""
    port = free_port()
    two = replace(server, env=server.env | {"HEART_WORKERS": "2"})
    with started(two, port, home) as (pid, _):
        wrk(port, two, 16, 2, home)
        return memory(pid)


def measure_swaps(server: Server, home: Path, uri: str, steady: float) -> dict[str, float]:
    """Move the alias 20 times under 16 connections; return failures and percentiles.

    Here the registry is asked five times a second, so that the swaps fall into half a minute.
    """
    import mlflow

    client = mlflow.MlflowClient(uri, uri)
    port = free_port()
    body = json.dumps(server.body).encode()
    quick = replace(server, env=server.env | {"HEART_POLL_SECONDS": "0.2"})
    with started(quick, port, home):
        result: dict[str, float] = {}
        ended = threading.Event()

        def load() -> None:
            result.update(wrk(port, quick, 16, 30, home))
            ended.set()

        thread = threading.Thread(target=load)
        thread.start()
        swaps = 0
        while swaps < 20 and not ended.is_set():
            version = str(2 - swaps % 2)
            client.set_registered_model_alias(NAME, "champion", version)
            while not ended.is_set():
                if json.loads(post(port, "/predict", body))["model_version"].endswith(version):
                    swaps += 1
                    break
                time.sleep(0.05)
        thread.join()
    return result | {"swaps": swaps, "times": result["p99"] / steady}


def make_models(uri: str, home: Path) -> Path:
    """Fill the registry with two versions; return the working copy of the second as a pickle."""
    import mlflow

    clone = home / "clone"  # the steps write their working copies into the project's folder
    subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
    env = environment(home, MLFLOW_TRACKING_URI=uri, PYTHONPATH=str(clone))
    with (home / "steps.log").open("ab") as log:
        words = [sys.executable, "-c", MODELS]
        subprocess.run(words, cwd=clone, env=env, stdout=log, stderr=log, check=True)
    mlflow.MlflowClient(uri, uri).set_registered_model_alias(NAME, "champion", "1")
    return clone / "models" / "model.pkl"


def servers(home: Path, uri: str, pickle: Path) -> dict[str, Server]:
    """Return the service and its peers."""
    import joblib
    import mlflow.sklearn

    python = sys.executable
    (home / "constant.py").write_text(CONSTANT)
    (home / "fast.py").write_text(FASTAPI.format(pickle=pickle, names=list(FEATURE_NAMES)))
    (home / "constant.conf.py").write_text(SETTINGS.replace("{port}", "0"))
    conf = str(ROOT / "serving" / "gunicorn.conf.py")
    tracking = {"MLFLOW_TRACKING_URI": uri}
    constant = [python, "-m", "gunicorn", "-c", "constant.conf.py", "-b", "127.0.0.1:{port}"]
    usual = home / "usual"
    mlflow.sklearn.save_model(joblib.load(pickle), str(usual), serialization_format="cloudpickle")
    serve = [python, "-m", "mlflow", "models", "serve", "--env-manager", "local",
             "-p", "{port}", "-w", "1", "-m"]  # fmt: skip
    return {
        "this service": Server(
            "this service",
            [python, "-m", "gunicorn", "-c", conf],
            "/predict",
            PATIENT,
            tracking | {"HEART_WORKERS": "1"},
        ),
        "Flask, a constant": Server(
            "Flask, a constant", [*constant, "constant:app"], "/predict", PATIENT
        ),
        "FastAPI + uvicorn + pickle": Server(
            "FastAPI + uvicorn + pickle",
            [python, "-m", "uvicorn", "fast:app", "--port", "{port}", "--log-level", "warning"],
            "/predict",
            PATIENT,
        ),
        "mlflow models serve": Server(
            "mlflow models serve", [*serve, str(usual)], "/invocations", SPLIT, tracking
        ),
        "mlflow models serve, this project's model": Server(
            "mlflow models serve, this project's model",
            [*serve, f"models:/{NAME}@champion"],
            "/invocations",
            SPLIT,
            tracking,
        ),
    }


def ratios(found: dict[str, Found], two: float, swaps: dict[str, float]) -> list[dict[str, Any]]:
    """Return every figure to reach, and what was reached."""
    ours, peer = found["this service"], found["mlflow models serve"]
    fast, constant = found["FastAPI + uvicorn + pickle"], found["Flask, a constant"]

    def rate(other: Found) -> float:
        return min(ours.rate[c] / other.rate[c] for c in (1, 16))

    rows = [
        ("requests/s against `mlflow models serve`", 50, rate(peer), "least"),
        ("requests/s against FastAPI + uvicorn + pickle", 40, rate(fast), "least"),
        ("requests/s against a constant Flask route", 0.8, rate(constant), "least"),
        ("p99 / p50 at 16 connections", 3, ours.p99[16] / ours.p50[16], "most"),
        ("memory, 2 workers against `mlflow models serve` with 1", 1, two / peer.memory, "most"),
        ("from exec to first answer, against it", 1, ours.start / peer.start, "most"),
        ("/invocations, 10,000 rows, rows/s against it", 3, ours.rows / peer.rows, "least"),
        ("20 swaps under 16 connections: failed", 0, swaps["failed"], "most"),
        ("20 swaps: p99 against steady", 3, swaps["times"], "most"),
    ]
    return [dict(zip(("what", "wanted", "reached", "bound"), row, strict=True)) for row in rows]


def holds(row: dict[str, Any], slack: float) -> bool:
    """Tell whether a figure is reached, give or take a factor."""
    if row["bound"] == "least":
        return bool(row["reached"] >= row["wanted"] / slack)
    return bool(row["reached"] <= row["wanted"] * slack)


def table(found: dict[str, Found], rows: list[dict[str, Any]], two: float) -> str:
    """Return the figures as Markdown."""
    lines = [
        "## The service and its peers",
        "",
        "One worker each, kept-alive connections, `wrk`, one patient a request; medians of 3 "
        "rounds in which the servers take turns. Memory is PSS of all processes, the follower's "
        "included. `mlflow models serve` has the same pipeline as MLflow logs it by itself, with "
        "scikit-learn; the last line is its server with this project's model, which runs ONNX.",
        "",
        "| server | requests/s, 1 conn. | 16 conn. | p50, 16 conn. | p99 | memory | first answer "
        "| rows/s in batches |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, f in found.items():
        batch = f"{f.rows:,.0f}" if f.rows else ""
        lines.append(
            f"| {name} | {f.rate[1]:,.0f} | {f.rate[16]:,.0f} | {f.p50[16]:.1f} ms "
            f"| {f.p99[16]:.1f} ms | {f.memory:.0f} MB | {f.start:.1f} s | {batch} |"
        )
    lines += [
        "",
        f"With two workers this service takes {two:.0f} MB.",
        "",
        "| figure | wanted | reached |",
        "|---|---|---|",
    ]
    for row in rows:
        word = "at least" if row["bound"] == "least" else "at most"
        lines.append(f"| {row['what']} | {word} {row['wanted']:g} | {row['reached']:.2f} |")
    return "\n".join([*lines, "", "![Requests per second](benchmarks-serving.png)"])


def plot(found: dict[str, Found], path: Path) -> None:
    """Draw requests per second of every server."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 2.6), layout="constrained")
    names = list(found)[::-1]
    values = [found[name].rate[16] for name in names]
    bars = axes.barh(names, values, color=["#7a8798"] * (len(names) - 1) + ["#0b57a4"])
    axes.bar_label(bars, labels=[f"{value:,.0f}" for value in values], padding=3)
    axes.set_xscale("log")
    axes.set_xlim(right=max(values) * 3)
    axes.set_xlabel("requests/s, 16 connections, one worker (log scale)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150, metadata={"Software": None})
    plt.close(figure)


def run(
    rounds: int, seconds: float, home: Path
) -> tuple[dict[str, Found], list[dict[str, Any]], float]:
    """Measure everything."""
    uri = f"sqlite:///{home}/mlflow.db"
    pickle = make_models(uri, home)
    rows = patients(ROWS, unknown=0.0).tolist()
    batch = json.dumps({"dataframe_split": {"columns": list(FEATURE_NAMES), "data": rows}}).encode()
    made = servers(home, uri, pickle)
    measured: dict[str, list[Found]] = {name: [] for name in made}
    for _ in range(rounds):
        for name, server in made.items():
            wants = name == "this service" or name.startswith("mlflow models serve")
            measured[name].append(measure(server, home, seconds, batch if wants else None))
            print(name, measured[name][-1], file=sys.stderr)
    found = {name: medians(each) for name, each in measured.items()}
    ours = made["this service"]
    two = measure_two_workers(ours, home)
    swaps = measure_swaps(ours, home, uri, found["this service"].p99[16])
    print(swaps, file=sys.stderr)
    return found, ratios(found, two, swaps), two


def main() -> int:
    """Measure; write the page, or in the short form check the ratios loosely."""
    short = arguments(__doc__, short=True).short
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is missing: apt-get install wrk")
    with tempfile.TemporaryDirectory() as folder:
        found, rows, two = run(*((1, 2) if short else (3, 5)), Path(folder))
    text = table(found, rows, two)
    if short:
        print(text)
    else:
        plot(found, PAGE.with_name("benchmarks-serving.png"))
        paste("serving", "python -m benchmarks.serving", text)
    missed = [row for row in rows if not holds(row, 2 if short else 1)]
    for row in missed:
        print(f"missed: {row['what']}: {row['reached']:.2f}, wanted {row['wanted']}")
    return 1 if missed and short else 0


if __name__ == "__main__":
    sys.exit(main())
