"""What the service loses under faults that take too long, or too much, for the tests.

    python -m benchmarks.faults --connections 5000
    python -m benchmarks.faults --soak 10

Ends with 1 where a request is lost. The other faults of docs/faults.md are tests.
"""

import argparse
import http.client
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.serving import forge
from tests.serving.service import JSON, PATIENT, Load, Service, running, wait_for

EVERY_SECONDS = 6.0
NAME = "heart-disease-model"


def make_registry(folder: Path) -> str:
    """Return the URI of a registry with two versions, of which the first is champion."""
    uri = f"sqlite:///{folder}/mlflow.db"
    for seed in (0, 1):
        forge.register(uri, *forge.log_run(uri, forge.fit(seed=seed), folder), champion=seed == 0)
    return uri


def ask_at_once(service: Service, count: int) -> Counter[object]:
    """Open connections, then send a request on each, then read; return the statuses."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, count + 1000)), hard))
    statuses: Counter[object] = Counter()
    connections = [
        http.client.HTTPConnection("127.0.0.1", service.port, timeout=120) for _ in range(count)
    ]
    for connection in connections:
        connection.connect()
    for connection in connections:
        connection.request("POST", "/predict", PATIENT, JSON)
    for connection in connections:
        try:
            answer = connection.getresponse()
            answer.read()
            statuses[answer.status] += 1
        except (OSError, http.client.HTTPException) as error:
            statuses[type(error).__name__] += 1
        connection.close()
    return statuses


def soak(service: Service, uri: str, minutes: float) -> tuple[int, Load]:
    """Move the champion every few seconds under load; return how often, and what was answered."""
    import mlflow

    client = mlflow.MlflowClient(uri, uri)
    end, swaps = time.monotonic() + 60 * minutes, 0
    with Load(service.port, connections=8, pause=0.01) as load:
        while time.monotonic() < end:
            version = str(2 - swaps % 2)
            client.set_registered_model_alias(NAME, "champion", version)
            wait_for(lambda version=version: service.version() == f"registry-v{version}", 30)
            swaps += 1
            time.sleep(EVERY_SECONDS)
    return swaps, load


def main() -> int:
    """Run what is asked for and print what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--connections", type=int, default=0, help="so many at once")
    parser.add_argument("--soak", type=float, default=0.0, help="so many minutes of promotions")
    given = parser.parse_args()
    lost = 0
    with tempfile.TemporaryDirectory() as folder:
        uri = make_registry(Path(folder))
        with running(Path(folder) / "home", uri) as service:
            if given.connections:
                statuses = ask_at_once(service, given.connections)
                lost += given.connections - statuses[200]
                print(f"{given.connections} connections at once: {dict(statuses)}")
            if given.soak:
                swaps, load = soak(service, uri, given.soak)
                lost += sum(load.statuses.values()) - load.statuses[200]
                print(
                    f"{swaps} promotions in {given.soak:g} minutes: {dict(load.statuses)}, "
                    f"{len(service.workers())} workers, p99 {1000 * load.quantile(0.99):.0f} ms"
                )
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
