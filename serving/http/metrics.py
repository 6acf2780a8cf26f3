"""Prometheus metrics of all workers added up, and those of the follower.

prometheus_client picks its storage when it is first imported: with PROMETHEUS_MULTIPROC_DIR set,
each process writes a file there and /metrics adds them up. So the import happens in here, late.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

# Every metric: name, kind, labels, help. Alerts and dashboard in deploy/ are checked against it.
METRICS: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    ("heart_requests_total", "counter", ("route", "status"), "Requests answered."),
    ("heart_request_seconds", "histogram", ("route",), "Time from request to answer."),
    (
        "heart_predictions_total",
        "counter",
        ("prediction", "model_version"),
        "Patients scored, by predicted class and model version.",
    ),
    ("heart_shed_requests_total", "counter", (), "Requests refused because too many were held."),
    (
        "heart_log_lines_lost_total",
        "counter",
        (),
        "Lines about requests that could not be written.",
    ),
    (
        "heart_worker_swaps_total",
        "counter",
        ("outcome",),
        "Models that workers took up (loaded) or could not (failed).",
    ),
    (
        "heart_prediction_log_dropped_total",
        "counter",
        (),
        "Predictions that are missing from the prediction log.",
    ),
    (
        "heart_shadow_predictions_total",
        "counter",
        ("challenger_version", "outcome"),
        "Patients about whom the challenger was to be asked: scored, shed or failed.",
    ),
    (
        "heart_shadow_disagreements_total",
        "counter",
        ("challenger_version",),
        "Patients whom the challenger puts into the other class.",
    ),
    (
        "heart_shadow_difference",
        "histogram",
        ("challenger_version",),
        "The challenger's probability less the answer's, without its sign.",
    ),
    ("heart_webhooks_total", "counter", ("outcome",), "Webhooks by what became of them."),
    (
        "heart_model_info",
        "gauge",
        ("model_version", "source", "engine", "data_source"),
        "1 for what each worker serves, added up over workers.",
    ),
    ("heart_swaps_total", "counter", (), "Times the service went over to another model."),
    ("heart_failed_swaps_total", "counter", (), "Models that the registry named and that failed."),
    ("heart_registry_errors_total", "counter", (), "Looks at the registry that failed."),
    ("heart_registry_looks_total", "counter", (), "Looks at the registry."),
    (
        "heart_registry_look_age_seconds",
        "gauge",
        (),
        "Seconds since the registry last answered; -1 if it never did.",
    ),
    ("heart_degraded", "gauge", (), "1 while something other than the first choice is served."),
    (
        "heart_metrics_incomplete",
        "gauge",
        (),
        "Workers whose metrics are missing, for want of room on the disk when they started.",
    ),
)
_BUCKETS = {
    # From 0.1 ms, which a tuned prediction takes, to 10 s, which nothing should.
    "heart_request_seconds": (
        *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0),
    ),
    "heart_shadow_difference": (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0),
}
# Those that are computed from the follower's status when they are read.
_COMPUTED: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "heart_swaps_total": lambda status: status.get("swaps", 0),
    "heart_failed_swaps_total": lambda status: status.get("failed_swaps", 0),
    "heart_registry_errors_total": lambda status: status.get("errors", 0),
    "heart_registry_looks_total": lambda status: status.get("looks", 0),
    "heart_registry_look_age_seconds": lambda status: (
        time.time() - status["answered_at"] if status.get("answered_at") else -1
    ),
    "heart_degraded": lambda status: bool(status.get("degraded")),
    "heart_metrics_incomplete": lambda status: status.get("incomplete", 0),
}


class Metrics:
    """The metrics of one process, and of the follower by its `status()`."""

    def __init__(self, status: Callable[[], Mapping[str, Any]]) -> None:
        import prometheus_client

        from serving.http import metric_files

        # The times at which counters began: another series each, without a use.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        prometheus_client.values.MmapedDict = metric_files.ReservedDict  # type: ignore[attr-defined]
        self._client = prometheus_client
        self._status = status
        self._registry = prometheus_client.CollectorRegistry()
        self._made = {
            name: self._make(name, kind, labels, text)
            for name, kind, labels, text in METRICS
            if name not in _COMPUTED
        }
        self._requests: dict[tuple[str, int], tuple[Callable[[], None], Callable[..., None]]] = {}
        self._predictions: dict[tuple[int, str], Callable[..., None]] = {}
        self._info: Any = None

    def _make(self, name: str, kind: str, labels: tuple[str, ...], text: str) -> Any:
        if kind == "counter":
            return self._client.Counter(name, text, labels, registry=self._registry)
        if kind == "histogram":
            return self._client.Histogram(
                name, text, labels, buckets=_BUCKETS[name], registry=self._registry
            )
        return self._client.Gauge(
            name, text, labels, registry=self._registry, multiprocess_mode="livesum"
        )

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count one request. The labels are bound once: it is done for each request."""
        bound = self._requests.get((route, status))
        if bound is None:
            bound = self._requests[(route, status)] = (
                self._made["heart_requests_total"].labels(route, str(status)).inc,
                self._made["heart_request_seconds"].labels(route).observe,
            )
        bound[0]()
        bound[1](seconds)

    def predicted(self, label: int, version: str, count: int = 1) -> None:
        """Count patients scored."""
        bound = self._predictions.get((label, version))
        if bound is None:
            bound = self._predictions[(label, version)] = (
                self._made["heart_predictions_total"].labels(str(label), version).inc
            )
        bound(count)

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        """Count on one of the counters of METRICS."""
        counter = self._made[name]
        (counter.labels(*labels) if labels else counter).inc(by)

    def compared(
        self, version: str, differences: Floats, disagreements: int, shed: int, failed: int
    ) -> None:
        """Count the result of a challenger: see `serving.predictions.shadow.ShadowResult`."""
        outcomes = {"scored": len(differences), "shed": shed, "failed": failed}
        for outcome, count in outcomes.items():
            self.count("heart_shadow_predictions_total", version, outcome, by=count)
        self.count("heart_shadow_disagreements_total", version, by=disagreements)
        _observe(self._made["heart_shadow_difference"].labels(version), np.abs(differences))

    def serves(self, version: str, source: str, engine: str, data_source: str) -> None:
        """Record the model that this worker serves now."""
        info = self._made["heart_model_info"].labels(version, source, engine, data_source)
        if self._info is not None:
            self._info.set(0)
        info.set(1)
        self._info = info

    def exposition(self) -> tuple[bytes, str]:
        """Return the metrics of all workers as Prometheus reads them, and their content type."""
        registry, status = self._registry, dict(self._status())
        if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            from prometheus_client.multiprocess import MultiProcessCollector

            from serving.http import metric_files

            registry = self._client.CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            status["incomplete"] = metric_files.incomplete(folder)
        follower = self._client.CollectorRegistry()
        follower.register(_Follower(status))
        body = self._client.generate_latest(registry) + self._client.generate_latest(follower)
        return body, self._client.CONTENT_TYPE_LATEST


def _observe(histogram: Any, values: Floats) -> None:
    """Observe many values as if one by one, which would hold up requests for milliseconds."""
    places = np.searchsorted(histogram._upper_bounds, values)
    for place, count in zip(*np.unique(places, return_counts=True), strict=True):
        histogram._buckets[place].inc(int(count))
    histogram._sum.inc(float(values.sum()))


class _Follower:
    """The follower's status as metrics."""

    def __init__(self, status: Mapping[str, Any]) -> None:
        self._status = status

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        families = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}
        for name, kind, _, text in METRICS:
            if name in _COMPUTED:
                yield families[kind](name, text, value=_COMPUTED[name](self._status))


def prepare_directory(directory: Path) -> None:
    """Make an empty folder for the workers' metrics and name it in the environment."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True, exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)


def forget_worker(pid: int) -> None:
    """Drop the gauges of a worker that has ended; its counters keep counting."""
    if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        from prometheus_client.multiprocess import mark_process_dead

        from serving.http import metric_files

        mark_process_dead(pid)  # type: ignore[no-untyped-call]
        metric_files.forget(folder, pid)
