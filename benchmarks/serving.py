"""Measure the service beside its peers, in turn, on the same machine.

Run as ``python -m benchmarks.serving`` (about five minutes; needs Debian's wrk); it writes the
table and a plot to docs/. ``--short`` takes one round of two seconds where the full form takes
three of five, writes nothing, and exits 1 where a figure is missed by more than a factor of two:
that is for CI.

The registry is a temporary one with two models that the project's own steps have made there, with
their defaults, of synthetic patients. All servers run as they are configured by default.
"""

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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
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
SERVICE, FLASK, FAST = "this service", "Flask, a constant", "FastAPI + uvicorn + pickle"
MLFLOW = "mlflow models serve"

CONSTANT = """
from flask import Flask
app = Flask(__name__)
@app.post("/predict")
def predict():
    return {"prediction": 1, "confidence": 0.87, "risk_level": "High", "model_version": "x"}
"""
SETTINGS = """
import gevent
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
    batches: bool = False


Figures = Mapping[str, float]
"""Of a server: `start`, `memory`, ``rate 1``, ``rate 16``, the latter's `p50` and `p99`, `rows`."""


class Ratio(NamedTuple):
    """A figure of this service, mostly against a peer's, and what it should be at least or most."""

    what: str
    bound: str
    wanted: float
    reached: float

    def holds(self, slack: float) -> bool:
        """Tell whether it is reached, give or take a factor."""
        if self.bound == "at least":
            return self.reached >= self.wanted / slack
        return self.reached <= self.wanted * slack


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


def measure(server: Server, home: Path, seconds: float, batch: bytes) -> Figures:
    """Measure one server with nothing else running."""
    port = free_port()
    with started(server, port, home) as (pid, start):
        wrk(port, server, 4, 1, home)  # warm
        one, many = (wrk(port, server, connections, seconds, home) for connections in (1, 16))
        if failed := one["failed"] + many["failed"]:
            raise SystemExit(f"{server.name}: {failed:.0f} requests failed")
        figures = {"start": start, "memory": memory(pid), "rate 1": one["rate"]}
        figures |= {"rate 16": many["rate"], "p50": many["p50"], "p99": many["p99"], "rows": 0.0}
        if server.batches:
            post(port, "/invocations", batch)
            times = []
            for _ in range(3 if seconds < 5 else 7):
                began = time.perf_counter()
                post(port, "/invocations", batch)
                times.append(time.perf_counter() - began)
            figures["rows"] = ROWS / statistics.median(times)
    return figures


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


def servers(home: Path, uri: str, pickle: Path) -> list[Server]:
    """Return the service and its peers."""
    import joblib
    import mlflow.sklearn

    python = sys.executable
    (home / "constant.py").write_text(CONSTANT)
    (home / "fast.py").write_text(FASTAPI.format(pickle=pickle, names=list(FEATURE_NAMES)))
    (home / "constant.conf.py").write_text(SETTINGS)
    usual = str(home / "usual")
    mlflow.sklearn.save_model(joblib.load(pickle), usual, serialization_format="cloudpickle")
    conf = str(ROOT / "serving" / "gunicorn.conf.py")
    service = [python, "-m", "gunicorn", "-c", conf]
    constant = [python, "-m", "gunicorn", "-c", "constant.conf.py", "-b", "127.0.0.1:{port}",
                "constant:app"]  # fmt: skip
    fast = [python, "-m", "uvicorn", "fast:app", "--port", "{port}", "--log-level", "warning"]
    serve = [python, "-m", "mlflow", "models", "serve", "--env-manager", "local",
             "-p", "{port}", "-w", "1", "-m"]  # fmt: skip
    stored = [*serve, f"models:/{NAME}@champion"]
    env = {"MLFLOW_TRACKING_URI": uri}
    return [
        Server(SERVICE, service, "/predict", PATIENT, env | {"HEART_WORKERS": "1"}, batches=True),
        Server(FLASK, constant, "/predict", PATIENT),
        Server(FAST, fast, "/predict", PATIENT),
        Server(MLFLOW, [*serve, usual], "/invocations", SPLIT, env, batches=True),
        Server(f"{MLFLOW}, this project's model", stored, "/invocations", SPLIT, env, batches=True),
    ]


def ratios(found: Mapping[str, Figures], two: float, swaps: Figures) -> list[Ratio]:
    """Return every figure to reach, and what was reached."""
    ours, peer = found[SERVICE], found[MLFLOW]

    def rate(other: str) -> float:
        return min(ours[name] / found[other][name] for name in ("rate 1", "rate 16"))

    return [
        Ratio("requests/s against `mlflow models serve`", "at least", 50, rate(MLFLOW)),
        Ratio("requests/s against FastAPI + uvicorn + pickle", "at least", 40, rate(FAST)),
        Ratio("requests/s against a constant Flask route", "at least", 0.8, rate(FLASK)),
        Ratio("p99 / p50 at 16 connections", "at most", 3, ours["p99"] / ours["p50"]),
        Ratio("memory, 2 workers against `mlflow models serve` with 1", "at most", 1,
              two / peer["memory"]),
        Ratio("from exec to first answer, against it", "at most", 1, ours["start"] / peer["start"]),
        Ratio("/invocations, 10,000 rows, rows/s against it", "at least", 3,
              ours["rows"] / peer["rows"]),
        Ratio("20 swaps under 16 connections: failed", "at most", 0, swaps["failed"]),
        Ratio("20 swaps: p99 against steady", "at most", 3, swaps["times"]),
    ]  # fmt: skip


def table(found: Mapping[str, Figures], rows: list[Ratio], two: float) -> str:
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
        batch = f"{f['rows']:,.0f}" if f["rows"] else ""
        lines.append(
            f"| {name} | {f['rate 1']:,.0f} | {f['rate 16']:,.0f} | {f['p50']:.1f} ms "
            f"| {f['p99']:.1f} ms | {f['memory']:.0f} MB | {f['start']:.1f} s | {batch} |"
        )
    lines += [
        "",
        f"With two workers this service takes {two:.0f} MB.",
        "",
        "| figure | wanted | reached |",
        "|---|---|---|",
        *(f"| {row.what} | {row.bound} {row.wanted:g} | {row.reached:.2f} |" for row in rows),
        "",
        "![Requests per second](benchmarks-serving.png)",
    ]
    return "\n".join(lines)


def plot(found: Mapping[str, Figures], path: Path) -> None:
    """Draw requests per second of every server."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 2.6), layout="constrained")
    names = list(found)[::-1]
    values = [found[name]["rate 16"] for name in names]
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
) -> tuple[Mapping[str, Figures], list[Ratio], float]:
    """Measure everything."""
    uri = f"sqlite:///{home}/mlflow.db"
    made = servers(home, uri, make_models(uri, home))
    rows = patients(ROWS, unknown=0.0).tolist()
    batch = json.dumps({"dataframe_split": {"columns": list(FEATURE_NAMES), "data": rows}}).encode()
    measured: dict[str, list[Figures]] = {server.name: [] for server in made}
    for _ in range(rounds):
        for server in made:
            measured[server.name].append(measure(server, home, seconds, batch))
            print(server.name, measured[server.name][-1], file=sys.stderr)
    found = {name: pd.DataFrame(each).median().to_dict() for name, each in measured.items()}
    two = measure_two_workers(made[0], home)
    swaps = measure_swaps(made[0], home, uri, found[SERVICE]["p99"])
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
    missed = [row for row in rows if not row.holds(2 if short else 1)]
    for row in missed:
        print(f"missed: {row.what}: {row.reached:.2f}, wanted {row.wanted}")
    return 1 if missed and short else 0


if __name__ == "__main__":
    sys.exit(main())
