"""Measure POST /explain beside POST /predict of the same worker.

Run as ``python -m benchmarks.explaining`` (half a minute); it writes the figures to
docs/benchmarks.md, and exits 1 where an explanation takes too long. ``--short`` asks less often and
writes nothing: that is for CI.

The registry is a temporary one with a forest made as the training step makes it. Requests take
turns on one kept-alive connection, so that a busy machine slows both alike. Then predictions are
measured while other connections ask for explanations without a pause.
"""

import http.client
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.arguments import arguments
from benchmarks.pasting import paste
from clinical.schema import FEATURES
from tests.serving import forge
from tests.serving.service import JSON, Load, running

TIMES = 100
"""How many times a prediction an explanation may take."""

OTHERS = 16
"""Connections that ask for the longest explanation while predictions are measured."""

HALF = ("age", "cp", "trestbps", "chol", "thalach", "oldpeak", "ca", "thal")
"""As many findings as differ from the reference in the median Cleveland patient."""


def patient(reference: dict[str, float], differing: tuple[str, ...]) -> bytes:
    """Return a patient who differs from the reference in some findings, as a request."""
    values = {}
    for feature in FEATURES:
        valid = [feature.low, feature.high, feature.example]
        same = feature.accepts(reference[feature.name]) and feature.name not in differing
        other = next(value for value in valid if value != reference[feature.name])
        values[feature.name] = reference[feature.name] if same else other
    return json.dumps(values).encode()


def measure(port: int, bodies: dict[str, tuple[str, bytes]], rounds: int) -> dict[str, list[float]]:
    """Send each request in turn, many times; return the seconds that each took."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    found: dict[str, list[float]] = {name: [] for name in bodies}
    for _ in range(rounds):
        for name, (path, body) in bodies.items():
            began = time.perf_counter()
            connection.request("POST", path, body, JSON)
            answer = connection.getresponse()
            answer.read()
            found[name].append(time.perf_counter() - began)
            if answer.status != 200:
                raise SystemExit(f"{path} answered {answer.status}")
    connection.close()
    return {name: times[rounds // 10 :] for name, times in found.items()}  # without the warm-up


def run(rounds: int, home: Path) -> dict[str, list[float]]:
    """Start the service, and measure it."""
    uri = f"sqlite:///{home}/mlflow.db"
    pipeline = forge.fit()
    forge.register(uri, *forge.log_run(uri, pipeline, home, plots=False))
    reference = forge.reference(pipeline)["values"]
    every = tuple(feature.name for feature in FEATURES)
    bodies = {
        "/predict": ("/predict", patient(reference, HALF)),
        f"/explain, {len(HALF)} findings differ": ("/explain", patient(reference, HALF)),
        f"/explain, all {len(every)} differ": ("/explain", patient(reference, every)),
    }
    with running(home / "home", uri, workers=1) as service:
        found = measure(service.port, bodies, rounds)
        worst = patient(reference, every)
        with Load(service.port, connections=OTHERS, body=worst, path="/explain") as load:
            beside = {f"/predict, while {OTHERS} explain": bodies["/predict"]}
            found |= measure(service.port, beside, rounds)
        load.assert_lost_nothing()
    return found


def table(found: dict[str, list[float]]) -> tuple[str, float]:
    """Return the figures as Markdown, and the largest ratio."""
    medians = {name: statistics.median(times) for name, times in found.items()}
    ratios = {name: value / medians["/predict"] for name, value in medians.items()}
    lines = [
        "## Explanations",
        "",
        "One worker, one connection, the requests take turns. An explanation asks the model about "
        "every combination of the findings that differ from the reference patient; a worker "
        "explains one at a time.",
        "",
        "| request | p50 | against /predict | target |",
        "|---|---|---|---|",
    ]
    for name, value in medians.items():
        path, _, words = name.partition(",")
        target = f"at most {TIMES}" if path == "/explain" else ""
        shown = f"`{path}`{words and ','}{words}"
        lines.append(f"| {shown} | {1000 * value:.2f} ms | {ratios[name]:.1f} | {target} |")
    return "\n".join(lines), max(ratios[name] for name in ratios if name.startswith("/explain"))


def main() -> int:
    """Measure; write the page unless it is the short form."""
    short = arguments(__doc__, short=True).short
    with tempfile.TemporaryDirectory() as folder:
        text, worst = table(run(50 if short else 500, Path(folder)))
    if short:
        print(text)
    else:
        paste("explaining", "python -m benchmarks.explaining", text)
    return int(worst > TIMES)


if __name__ == "__main__":
    sys.exit(main())
