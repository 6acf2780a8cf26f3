"""Prometheus metrics of all workers added up, and those of the follower.

prometheus_client picks its storage when it is first imported: with PROMETHEUS_MULTIPROC_DIR set,
each process writes a file there and /metrics adds them up. So the import happens in here, late.
"""

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

# Every metric: name, kind, labels, help. Alerts and dashboard in deploy/ are checked against it.
METRICS: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    ("heart_requests_total", "counter", ("route", "status"), "Requests answered."),
    ("heart_request_seconds", "histogram", ("route",), "Time from request to answer."),
    ("heart_predictions_total", "counter", ("prediction", "model_version"),
     "Patients scored, by predicted class and model version."),
    ("heart_shed_requests_total", "counter", (), "Requests refused because too many were held."),
    ("heart_log_lines_lost_total", "counter", (),
     "Lines about requests that could not be written."),
    ("heart_worker_swaps_total", "counter", ("outcome",),
     "Models that workers took up (loaded) or could not (failed)."),
    ("heart_prediction_log_dropped_total", "counter", (),
     "Predictions that are missing from the prediction log."),
    ("heart_shadow_predictions_total", "counter", ("challenger_version", "outcome"),
     "Patients about whom the challenger was to be asked: scored, shed or failed."),
    ("heart_shadow_disagreements_total", "counter", ("challenger_version",),
     "Patients whom the challenger puts into the other class."),
    ("heart_shadow_difference", "histogram", ("challenger_version",),
     "The challenger's probability less the answer's, without its sign."),
    ("heart_webhooks_total", "counter", ("outcome",), "Webhooks by what became of them."),
    ("heart_model_info", "gauge", ("model_version", "source", "engine", "data_source"),
     "1 for what each worker serves, added up over workers."),
    ("heart_swaps_total", "counter", (), "Times the service went over to another model."),
    ("heart_failed_swaps_total", "counter", (), "Models that the registry named and that failed."),
    ("heart_registry_errors_total", "counter", (), "Looks at the registry that failed."),
    ("heart_registry_looks_total", "counter", (), "Looks at the registry."),
    ("heart_registry_look_age_seconds", "gauge", (),
     "Seconds since the registry last answered; -1 if it never did."),
    ("heart_degraded", "gauge", (), "1 while something other than the first choice is served."),
    ("heart_metrics_incomplete", "gauge", (),
     "Workers whose metrics are missing, for want of room on the disk when they started."),
)  # fmt: skip
_BUCKETS = {
    # From 0.1 ms, which a tuned prediction takes, to 10 s, which nothing should.
    "heart_request_seconds": (
        *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0),
    ),
    "heart_shadow_difference": (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0),
}
# Those that are of the follower's status, by its names.
_OF_STATUS = {
    "heart_swaps_total": "swaps",
    "heart_failed_swaps_total": "failed_swaps",
    "heart_registry_errors_total": "errors",
    "heart_registry_looks_total": "looks",
    "heart_registry_look_age_seconds": "age",
    "heart_degraded": "degraded",
    "heart_metrics_incomplete": "incomplete",
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
        self._registry = self._exposed = prometheus_client.CollectorRegistry()
        if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            from prometheus_client.multiprocess import MultiProcessCollector

            self._exposed = prometheus_client.CollectorRegistry()
            MultiProcessCollector(self._exposed)  # type: ignore[no-untyped-call]
        self._made = {
            name: self._make(name, kind, labels, text)
            for name, kind, labels, text in METRICS
            if name not in _OF_STATUS
        }
        self._exposed.register(_Follower(status))
        # The labels are bound once: it is done for each request.
        self._bound = functools.cache(self._bind)
        self._info: Any = None

    def _make(self, name: str, kind: str, labels: tuple[str, ...], text: str) -> Any:
        kinds: dict[str, dict[str, Any]] = {
            "counter": {},
            "histogram": {"buckets": _BUCKETS.get(name)},
            "gauge": {"multiprocess_mode": "livesum"},
        }
        make: Any = getattr(self._client, kind.capitalize())
        return make(name, text, labels, registry=self._registry, **kinds[kind])

    def _bind(self, name: str, *labels: object) -> Any:
        return self._made[name].labels(*labels) if labels else self._made[name]

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._bound("heart_requests_total", route, status).inc()
        self._bound("heart_request_seconds", route).observe(seconds)

    def predicted(self, label: int, version: str, count: int = 1) -> None:
        """Count patients scored."""
        self._bound("heart_predictions_total", label, version).inc(count)

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        """Count on one of the counters of METRICS."""
        self._bound(name, *labels).inc(by)

    def compared(
        self, version: str, differences: Floats, disagreements: int, shed: int, failed: int
    ) -> None:
        """Count the result of a challenger: see `serving.predictions.shadow.ShadowResult`."""
        outcomes = {"scored": len(differences), "shed": shed, "failed": failed}
        for outcome, count in outcomes.items():
            self.count("heart_shadow_predictions_total", version, outcome, by=count)
        self.count("heart_shadow_disagreements_total", version, by=disagreements)
        _observe(self._bound("heart_shadow_difference", version), np.abs(differences))

    def serves(self, version: str, source: str, engine: str, data_source: str) -> None:
        """Record the model that this worker serves now."""
        if self._info is not None:
            self._info.set(0)
        self._info = self._bound("heart_model_info", version, source, engine, data_source)
        self._info.set(1)

    def exposition(self) -> tuple[bytes, str]:
        """Return the metrics of all workers as Prometheus reads them, and their content type."""
        return self._client.generate_latest(self._exposed), self._client.CONTENT_TYPE_LATEST


def _observe(histogram: Any, values: Floats) -> None:
    """Observe many values as if one by one.

    That takes 2 µs for each by `observe`, here 20 for a thousand; requests wait meanwhile.
    """
    places = np.searchsorted(histogram._upper_bounds, values)
    for place, count in zip(*np.unique(places, return_counts=True), strict=True):
        histogram._buckets[place].inc(int(count))
    histogram._sum.inc(float(values.sum()))


class _Follower:
    """The follower's status as metrics."""

    def __init__(self, status: Callable[[], Mapping[str, Any]]) -> None:
        self._status = status

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        from serving.http import metric_files

        families = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}
        status = {**self._status(), "incomplete": metric_files.incomplete()}
        if status.get("age") is None:
            status["age"] = -1
        for name, kind, _, text in METRICS:
            if name in _OF_STATUS:
                yield families[kind](name, text, value=status.get(_OF_STATUS[name], 0))
