"""Measure what the prediction log and the shadow cost, beside the same service without them.

Run as ``python -m benchmarks.prediction_log`` (about eight minutes; needs Debian's wrk); it writes
the table to docs/. ``--short`` takes five rounds where the full form takes forty, writes nothing,
and exits 1 where a figure is missed by more than a factor of one and a half: that is for CI.

One worker each. All services run at once and are loaded in turn, two seconds each, in an order that
changes with each round; a figure is the median over rounds of the ratio to the service without a
log in the same round, so that what else the machine does falls on all of them. That service runs
twice: how far the second is from the first is what chance does to a figure.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.arguments import arguments
from benchmarks.pasting import paste
from benchmarks.serving import NAME, PATIENT, Server, free_port, make_models, memory, started, wrk

ROOT = Path(__file__).parents[1]
RATE, TAIL = 0.95, 1.2
SECONDS = 2
CONNECTIONS = 16
VARIANTS: dict[str, dict[str, str]] = {
    "off": {},
    "off, once more": {},
    "profile": {"HEART_PREDICTION_LOG": "profile"},
    "rows": {"HEART_PREDICTION_LOG": "rows"},
    "rows, shadow of all": {"HEART_PREDICTION_LOG": "rows", "HEART_SHADOW": "1"},
}
Rounds = list[dict[str, dict[str, float]]]


def run(rounds: int, home: Path) -> tuple[Rounds, dict[str, float]]:
    """Return requests/s and percentiles by round and variant, and the memory of each variant."""
    import mlflow

    uri = f"sqlite:///{home}/mlflow.db"
    make_models(uri, home)
    mlflow.MlflowClient(uri, uri).set_registered_model_alias(NAME, "challenger", "2")
    command = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "serving" / "gunicorn.conf.py")]
    found: Rounds = []
    with contextlib.ExitStack() as stack:
        servers, ports, pids = {}, {}, {}
        for name, settings in VARIANTS.items():
            folder = home / name.replace(", ", "-").replace(" ", "-")
            folder.mkdir()
            env = {"MLFLOW_TRACKING_URI": uri, "HEART_WORKERS": "1", **settings}
            servers[name] = Server(name, command, "/predict", PATIENT, env)
            ports[name] = free_port()
            pids[name], _ = stack.enter_context(started(servers[name], ports[name], folder))
            wrk(ports[name], servers[name], CONNECTIONS, 2, folder)
        order = list(VARIANTS)
        for _ in range(rounds):
            random.shuffle(order)
            measured = {
                name: wrk(ports[name], servers[name], CONNECTIONS, SECONDS, home) for name in order
            }
            found.append(measured)
            print(measured, file=sys.stderr)
        return found, {name: memory(pid) for name, pid in pids.items()}


def ratio(rounds: Rounds, name: str, figure: str) -> float:
    """Return the median of a variant's figure over that of the service without a log."""
    return statistics.median(each[name][figure] / each["off"][figure] for each in rounds)


def table(rounds: Rounds, memories: dict[str, float]) -> str:
    """Return the figures as Markdown."""
    lines = [
        "## The prediction log and the shadow",
        "",
        f"One worker, {CONNECTIONS} kept-alive connections, `wrk`, one patient a request; medians "
        f"of {len(rounds)} rounds of {SECONDS} s in which the services take turns. Wanted: at "
        f"least {RATE:g} of the requests/s without a log, p99 within {TAIL:g} times.",
        "",
        "| log | requests/s | of those without | p99 | times that without | memory |",
        "|---|---|---|---|---|---|",
    ]
    for name in VARIANTS:
        rate = statistics.median(each[name]["rate"] for each in rounds)
        tail = statistics.median(each[name]["p99"] for each in rounds)
        lines.append(
            f"| {name} | {rate:,.0f} | {ratio(rounds, name, 'rate'):.3f} | {tail:.1f} ms "
            f"| {ratio(rounds, name, 'p99'):.2f} | {memories[name]:.0f} MB |"
        )
    return "\n".join(lines)


def missed(rounds: Rounds, slack: float) -> list[str]:
    """Return a line for each figure that is not reached, give or take a factor."""
    lines = []
    for name in list(VARIANTS)[2:]:
        rate, tail = ratio(rounds, name, "rate"), ratio(rounds, name, "p99")
        if rate < RATE / slack:
            lines.append(f"missed: {name}: {rate:.3f} of the requests/s, wanted {RATE}")
        if tail > TAIL * slack:
            lines.append(f"missed: {name}: p99 is {tail:.2f} times that without, wanted {TAIL}")
    failed = sum(figures["failed"] for each in rounds for figures in each.values())
    return lines + ([f"missed: {failed:.0f} requests failed"] if failed else [])


def main() -> int:
    """Measure; write the page, or in the short form check loosely."""
    short = arguments(__doc__, short=True).short
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is missing: apt-get install wrk")
    with tempfile.TemporaryDirectory() as folder:
        rounds, memories = run(5 if short else 40, Path(folder))
    text = table(rounds, memories)
    if short:
        print(text)
    else:
        paste("prediction-log", "python -m benchmarks.prediction_log", text)
    lines = missed(rounds, 1.5 if short else 1)
    print(*lines, sep="\n")
    return 1 if lines and short else 0


if __name__ == "__main__":
    sys.exit(main())
