"""The figures of a monitoring run for the textfile collector of Prometheus' node exporter."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from steps.monitoring.alarms import ALARM, INSUFFICIENT, OK, WARNING
from steps.monitoring.versions import Monitored
from steps.runs.files import replacing

WORDS = (OK, WARNING, ALARM, INSUFFICIENT)
MODEL = ("name", "model_version")
GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "verdict": ("1 for the verdict on the model, 0 for the others.", ("verdict",)),
    "drift_psi": ("Population stability index of each variable.", ("variable",)),
    "drift": ("1 where a variable drifts beyond chance.", ("variable",)),
    "missing_rate": ("Share of patients in whom a finding is unknown.", ("variable",)),
    "rows": ("Patients scored in the window.", ()),
    "observed_expected": ("Patients with the disease, for each that was expected.", ()),
    "timestamp_seconds": ("When this was found out.", ()),
}
"""By name without ``heart_monitor_``: a text, and labels beside those of MODEL."""


def write(path: Path, name: str, monitored: Sequence[Monitored]) -> None:
    """Replace a file by the figures of versions of a registered model."""
    registry = CollectorRegistry()
    gauges = {
        key: Gauge(f"heart_monitor_{key}", text, (*MODEL, *labels), registry=registry)
        for key, (text, labels) in GAUGES.items()
    }
    for one in monitored:
        for key, labels, value in _figures(one):
            gauges[key].labels(name, one.model.label, *labels).set(value)
    with replacing(path) as part:
        part.write_bytes(generate_latest(registry))


def _figures(one: Monitored) -> Iterator[tuple[str, tuple[str, ...], float]]:
    """Yield the figures of a model: the gauge, its labels, and the value."""
    for word in WORDS:
        yield "verdict", (word,), word == one.verdict.word
    for variable, drift in one.summary["variables"].items():
        yield "drift", (variable,), drift["drift"]
        for key, figure in (("drift_psi", drift["psi"]), ("missing_rate", drift["missing_rate"])):
            if figure is not None:
                yield key, (variable,), figure
    yield "rows", (), one.summary["rows"]
    if measured := (one.summary["outcomes"] or {}).get("measured"):
        yield "observed_expected", (), measured["metrics"]["observed_expected"]
    yield "timestamp_seconds", (), time.time()
