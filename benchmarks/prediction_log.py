"""Measure what the prediction log and the shadow cost, beside the same service without them.

Run as ``python -m benchmarks.prediction_log`` (about twelve minutes; needs Debian's wrk); it writes
the table to docs/. ``--short`` starts the services once where the full form does so ten times,
writes nothing, and exits 1 where a figure is missed by more than a factor of one and a half: that
is for CI.

One worker each. All services run at once and are loaded in turn, two seconds each, in an order that
changes with each round; a figure is the median over rounds of the ratio to the service without a
log in the same round, so that what else the machine does falls on all of them. Two processes of the
very same service differ by some percent for as long as they live (where their memory lies), so all
are started anew every few rounds. The service without a log runs twice: how far the second is from
the first is what chance does to a figure.
"""

import contextlib
import random
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.arguments import arguments
from benchmarks.pasting import paste
from benchmarks.serving import NAME, PATIENT, Server, free_port, make_models, memory, started, wrk

ROOT = Path(__file__).parents[1]
RATE, TAIL = 0.95, 1.2
SECONDS = 2
STARTS, ROUNDS = 10, 4
CONNECTIONS = 16
VARIANTS: dict[str, dict[str, str]] = {
    "off": {},
    "off, once more": {},
    "profile": {"HEART_PREDICTION_LOG": "profile"},
    "rows": {"HEART_PREDICTION_LOG": "rows"},
    "rows, shadow of all": {"HEART_PREDICTION_LOG": "rows", "HEART_SHADOW": "1"},
}
Rounds = list[dict[str, dict[str, float]]]


def run(starts: int, home: Path) -> tuple[Rounds, dict[str, float]]:
    """Return requests/s and percentiles by round and variant, and the memory of each variant."""
    import mlflow

    uri = f"sqlite:///{home}/mlflow.db"
    make_models(uri, home)
    mlflow.MlflowClient(uri, uri).set_registered_model_alias(NAME, "challenger", "2")
    found: Rounds = []
    for _ in range(starts):
        with contextlib.ExitStack() as stack:
            running = {name: _start(stack, home, uri, name) for name in VARIANTS}
            for _ in range(ROUNDS):
                order = random.sample(list(VARIANTS), len(VARIANTS))
                found.append({name: running[name].load(home) for name in order})
                print(found[-1], file=sys.stderr)
            memories = {name: memory(service.pid) for name, service in running.items()}
    return found, memories


@dataclass
class Service:
    """A service that runs."""

    server: Server
    port: int
    pid: int

    def load(self, home: Path) -> dict[str, float]:
        """Return what wrk measures."""
        return wrk(self.port, self.server, CONNECTIONS, SECONDS, home)


def _start(stack: contextlib.ExitStack, home: Path, uri: str, name: str) -> Service:
    command = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "serving" / "gunicorn.conf.py")]
    folder = home / name.replace(", ", "-").replace(" ", "-")
    folder.mkdir(exist_ok=True)
    env = {"MLFLOW_TRACKING_URI": uri, "HEART_WORKERS": "1", **VARIANTS[name]}
    server, port = Server(name, command, "/predict", PATIENT, env), free_port()
    pid, _ = stack.enter_context(started(server, port, folder))
    service = Service(server, port, pid)
    service.load(home)  # what is done once is done before anything is measured
    return service


def ratio(rounds: Rounds, name: str, figure: str) -> float:
    """Return the median of a variant's figure over that of the service without a log."""
    return statistics.median(each[name][figure] / each["off"][figure] for each in rounds)


def table(rounds: Rounds, memories: dict[str, float]) -> str:
    """Return the figures as Markdown."""
    lines = [
        "## The prediction log and the shadow",
        "",
        f"One worker, {CONNECTIONS} kept-alive connections, `wrk`, one patient a request; medians "
        f"of {len(rounds)} rounds of {SECONDS} s in which the services take turns, started anew "
        f"every {ROUNDS} rounds. Wanted: at least {RATE:g} of the requests/s without a log, p99 "
        f"within {TAIL:g} times.",
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
        rounds, memories = run(1 if short else STARTS, Path(folder))
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
