"""Measure what one unit of each kind of work costs in CPU time, and work out what carries how far.

Run as ``python -m benchmarks.scaling`` (about three minutes; needs Debian's wrk); it writes the
tables of docs/scaling.md. CPU time of the processes is what a machine that is busy with other
things changes least.
"""

import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import requests

from benchmarks.arguments import arguments
from benchmarks.pasting import paste
from benchmarks.serving import NAME, PATIENT, ROOT, Server, started, wrk
from steps.batch.inputs import Partition, divide, find
from tests.serving import forge
from tests.serving.service import environment, free_port, wait_for

PAGE = ROOT / "docs" / "scaling.md"
LOOKS = 300
RUNS = 100
TASKS = 4000
WORKERS_A_HOST = 8
POLL_SECONDS = 2.0

LOOK = """
import os, sys, time
from serving.following.registry import MlflowRegistry
registry = MlflowRegistry(sys.argv[1], "Heart Disease Prediction")
next(registry.candidates())  # imports and opens what every later look finds there
began, used = time.perf_counter(), time.process_time()
for _ in range(int(sys.argv[2])):
    next(registry.candidates())
print(time.process_time() - used, time.perf_counter() - began)
"""
TASK = """
import sys, time
from distributed import Client
with Client(sys.argv[1]) as client:
    client.wait_for_workers(1)
    client.gather(client.map(abs, range(100)))
    print("ready", flush=True)
    input()
    client.gather(client.map(abs, range(1000, 1000 + int(sys.argv[2]))))
    print("done", flush=True)
    input()
"""


def cpu(pid: int) -> float:
    """Return the CPU seconds that a process and its descendants have used."""
    root = psutil.Process(pid)
    times = [p.cpu_times() for p in [root, *root.children(recursive=True)]]
    return sum(t.user + t.system for t in times)


@contextmanager
def process(
    words: list[str], home: Path, *, talks: bool = False, **env: str
) -> Iterator[subprocess.Popen[str]]:
    """Run a program while the block lasts: one that is talked with, or one that fills a log."""
    with (home / "programs.log").open("ab") as log:
        program = subprocess.Popen(
            words, cwd=home, env=environment(home, **env),
            stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
            stdout=subprocess.PIPE if talks else log, stderr=log, text=True, start_new_session=True,
        )  # fmt: skip
    try:
        yield program
    finally:
        program.terminate()
        program.wait(30)


def answers(url: str) -> bool:
    """Tell whether a server answers."""
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


def predictions(home: Path, uri: str) -> tuple[float, float]:
    """Return the CPU seconds of one request to /predict, and the bytes of its log line."""
    conf = str(ROOT / "serving" / "gunicorn.conf.py")
    log = home / "access.log"
    env = {"MLFLOW_TRACKING_URI": uri, "HEART_WORKERS": "1", "HEART_ACCESS_LOG": str(log)}
    words = [sys.executable, "-m", "gunicorn", "-c", conf]
    server = Server("this service", words, "/predict", PATIENT, env)
    port = free_port()
    with started(server, port, home) as (pid, _):
        wrk(port, server, 16, 2, home)
        children = psutil.Process(pid).children()
        workers = [p.pid for p in children if "follower" not in " ".join(p.cmdline())]
        before, lines = sum(map(cpu, workers)), _lines(log)
        wrk(port, server, 16, 10, home)
        requests = _lines(log) - lines
        return (sum(map(cpu, workers)) - before) / requests, log.stat().st_size / _lines(log)


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def look(home: Path, uri: str, server: int | None = None) -> tuple[float, float, float]:
    """Return the CPU seconds of one look at a registry here and in its server, and its time."""
    before = cpu(server) if server else 0.0
    done = subprocess.run(
        [sys.executable, "-c", LOOK, NAME, str(LOOKS)], cwd=home, check=True, text=True,
        env=environment(home, MLFLOW_TRACKING_URI=uri), stdout=subprocess.PIPE,
    )  # fmt: skip
    used, taken = map(float, done.stdout.split())
    there = (cpu(server) - before) / (LOOKS + 1) if server else 0.0
    return used / LOOKS, there, taken / LOOKS


def runs(uri: str, server: int) -> float:
    """Return the CPU seconds that a tracking server spends on one run with its figures."""
    import mlflow
    from mlflow.entities import Metric, Param

    client = mlflow.MlflowClient(uri, uri)
    experiment = client.create_experiment("runs")
    before = cpu(server)
    for _ in range(RUNS):
        run = client.create_run(experiment).info.run_id
        figures = [Metric(f"m{i}", 0.5, 0, 0) for i in range(50)]
        client.log_batch(run, figures, [Param(f"p{i}", "1") for i in range(10)])
        client.set_terminated(run)
    return (cpu(server) - before) / RUNS


def fetch(home: Path, uri: str) -> tuple[float, float]:
    """Return the bytes of a model in the registry, and the seconds that fetching it takes."""
    import mlflow

    mlflow.set_tracking_uri(uri)
    into = home / "fetched"
    into.mkdir()
    began = time.perf_counter()
    mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{NAME}@champion", dst_path=str(into))
    taken = time.perf_counter() - began
    return sum(p.stat().st_size for p in into.rglob("*") if p.is_file()), taken


def tasks(home: Path) -> float:
    """Return the CPU seconds that a Dask scheduler spends on one task."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    python, here = [sys.executable, "-m"], ["--host", "127.0.0.1", "--no-dashboard"]
    scheduler = [*python, "distributed.cli.dask_scheduler", "--port", str(port), *here]
    worker = [*python, "distributed.cli.dask_worker", address, "--nthreads", "1", *here]
    asking = [sys.executable, "-c", TASK, address, str(TASKS)]
    with (
        process(scheduler, home) as hub,
        process(worker, home),
        process(asking, home, talks=True) as client,
    ):
        assert client.stdout is not None
        assert client.stdin is not None
        assert client.stdout.readline() == "ready\n"
        before = cpu(hub.pid)
        client.stdin.write("\n")
        client.stdin.flush()
        assert client.stdout.readline() == "done\n"
        return (cpu(hub.pid) - before) / TASKS


def partition(home: Path) -> dict[str, float]:
    """Return what one partition of batch scoring costs: CPU seconds, rows, bytes."""
    from benchmarks.scoring import Bench
    from clinical.codings.definitions import CANONICAL
    from steps.batch.scoring import SCHEMA, Scorer

    home.mkdir()
    bench = Bench(home)
    (home / "parts").mkdir()  # beside the model
    scorer = Scorer(str(home), "path-model", CANONICAL, list(SCHEMA))
    parts = list(divide(find(str(bench.source(1_000_000)))))

    def work(part: Partition) -> int:
        return int(scorer.score(part)["rows", "all"])

    work(parts[0])  # loads the model
    began = time.process_time()
    rows = sum(map(work, parts))
    return {
        "part": (time.process_time() - began) / len(parts),
        "part.rows": rows / len(parts),
        "part.bytes": sum(part.stop - part.start for part in parts) / len(parts),
    }


def measured(home: Path) -> dict[str, float]:
    """Measure everything."""
    uri = f"sqlite:///{home}/mlflow.db"
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    found: dict[str, float] = {}
    server = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri,
              "--artifacts-destination", str(home / "store"), "--port", str(port),
              "--workers", "1"]  # fmt: skip
    # Its job runner imports MLflow for seconds after the start, and has no part in this.
    with process(server, home, MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false") as tracking:
        wait_for(lambda: answers(f"{address}/health"), 60, every=0.2)
        run, model = forge.log_run(address, forge.fit(), home)
        forge.register(address, run, model)
        found["look.client"], found["look.server"], found["look.seconds"] = look(
            home, address, tracking.pid
        )
        found["run"] = runs(address, tracking.pid)
        found["model.bytes"], found["model.seconds"] = fetch(home, address)
        found["request"], found["line"] = predictions(home, address)
    found["look.sqlite"], _, found["look.sqlite.seconds"] = look(home, uri)
    found["task"] = tasks(home)
    return found | partition(home / "scoring")


def units(found: dict[str, float]) -> str:
    """Return what one unit costs as a table."""
    rows = [
        ("a request to `/predict`, in a worker", found["request"], "requests/s"),
        ("a look at the registry, in `mlflow server`", found["look.server"], "looks/s"),
        ("a look at the registry, in the follower", found["look.client"], "looks/s"),
        ("a look at SQLite without a server, in the follower", found["look.sqlite"], "looks/s"),
        ("a run with 50 figures, in `mlflow server`", found["run"], "runs/s"),
        ("a task, in a Dask scheduler", found["task"], "tasks/s"),
    ]
    lines = ["| unit of work | CPU time | one core carries |", "|---|---|---|"]
    lines += [f"| {name} | {1e3 * s:.2f} ms | {1 / s:,.0f} {unit} |" for name, s, unit in rows]
    lines += [
        "",
        f"A look takes {1e3 * found['look.seconds']:.1f} ms through the server and "
        f"{1e3 * found['look.sqlite.seconds']:.1f} ms on a local SQLite file. A model is "
        f"{found['model.bytes'] / 1e6:.1f} MB and comes in {found['model.seconds']:.1f} s. "
        f"The log line of a request is {found['line']:.0f} bytes.",
    ]
    return "\n".join(lines)


def steps_up(found: dict[str, float]) -> str:
    """Return what 1, 10, 100 and 1,000 busy cores of predictions ask of everything else."""
    lines = [
        f"| cores | requests/s | hosts of {WORKERS_A_HOST} workers | looks/s | of one core of "
        "`mlflow server` | fetched at a promotion | log |",
        "|---|---|---|---|---|---|---|",
    ]
    for cores in (1, 10, 100, 1000):
        hosts = math.ceil(cores / WORKERS_A_HOST)
        looks = hosts / POLL_SECONDS
        rate = cores / found["request"]
        lines.append(
            f"| {cores:,} | {rate:,.0f} | {hosts} | {looks:.1f} "
            f"| {looks * found['look.server']:.0%} "
            f"| {hosts * found['model.bytes'] / 1e6:,.0f} MB "
            f"| {rate * found['line'] * 86400 / 1e12:.2f} TB/day |"
        )
    return "\n".join(lines)


def batches_up(found: dict[str, float]) -> str:
    """Return what 1, 10, 100 and 1,000 busy cores of batch scoring ask of everything else."""
    lines = [
        "| cores | rows/s | read | tasks/s | of one core of the scheduler |",
        "|---|---|---|---|---|",
    ]
    for cores in (1, 10, 100, 1000):
        rate = cores / found["part"]
        lines.append(
            f"| {cores:,} | {rate * found['part.rows'] / 1e6:,.2f} million "
            f"| {rate * found['part.bytes'] / 1e6:,.0f} MB/s | {rate:,.1f} "
            f"| {rate * found['task']:.1%} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print and paste."""
    arguments(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        found = measured(Path(folder))
    tables = {"units": units, "predictions": steps_up, "batches": batches_up}
    for section, table in tables.items():
        paste(section, "python -m benchmarks.scaling", table(found), PAGE)


if __name__ == "__main__":
    main()
