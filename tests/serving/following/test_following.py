"""A worker's side of following, with a follower that a test stands in for."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from risk_model.model import Model, Origin
from serving.following.state import State, write_json
from serving.following.worker import Following
from serving.http.metrics import Metrics
from serving.settings import read_settings


class Bench:
    """A worker, and what a follower would have written."""

    def __init__(self, folder: Path, good: Path) -> None:
        self.state = State(folder).make()
        self.good = Origin("good", "registry-v1", "stage Production", str(good))
        # Whoever holds the lock is the follower, so that the worker starts none, as long as it
        # looks: until the end of this process.
        assert self.state.lock() is not None
        self.worker = Following(read_settings())
        self.metrics = Metrics(self.worker.status)
        self.worker.attach(self.metrics)

    def publish(self, origin: Origin) -> None:
        write_json(self.state.current, asdict(origin))
        self.worker._check_published()


@pytest.fixture
def bench(tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    monkeypatch.setenv("_HEART_STATE_DIR", str(tmp_path / "state"))
    return Bench(tmp_path / "state", model_folder)


def test_a_model_that_failed_is_forgotten_when_the_one_that_serves_is_wanted_again(
    bench: Bench, tmp_path: Path
) -> None:
    bench.publish(bench.good)
    bench.publish(Origin("bad", "registry-v2", "alias champion", str(tmp_path / "nowhere")))
    status = bench.worker.status()
    assert status["degraded"] is True
    assert "registry-v2" in status["problems"][0]
    assert bench.worker.model is not None
    assert bench.worker.model.origin.version == "registry-v1"
    bench.publish(replace(bench.good, source="alias champion"))
    assert bench.worker.status()["problems"] == []
    assert "degraded" not in bench.worker.status()


def test_a_follower_that_is_silent_is_a_reason_to_be_degraded(bench: Bench) -> None:
    bench.publish(bench.good)
    write_json(bench.state.status, {"looks": 3, "degraded": False})
    assert not bench.worker.status()["problems"]
    os.utime(bench.state.status, (0, 0))
    status = bench.worker.status()
    assert status["degraded"] is True
    assert "The follower has not reported" in status["problems"][0]


def test_the_metrics_tell_why_a_model_is_served_now(bench: Bench) -> None:
    bench.publish(bench.good)
    bench.publish(replace(bench.good, source="alias champion"))
    text = bench.metrics.exposition()[0].decode()
    lines = [line for line in text.splitlines() if line.startswith("heart_model_info{")]
    values = {line.split(',source="')[1].split('"')[0]: float(line.split()[-1]) for line in lines}
    assert values == {"stage Production": 0, "alias champion": 1}
    assert 'heart_worker_swaps_total{outcome="loaded"} 1.0' in text


def test_requests_that_come_while_the_first_one_begins_wait_for_the_model(bench: Bench) -> None:
    write_json(bench.state.current, asdict(bench.good))
    start = threading.Barrier(8)

    def ask(_: int) -> Model | None:
        start.wait()
        bench.worker.ensure()
        return bench.worker.model

    with ThreadPoolExecutor(8) as threads:
        assert None not in list(threads.map(ask, range(8)))
