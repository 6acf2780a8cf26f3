"""The figures of a monitoring run for the textfile collector of Prometheus' node exporter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from steps.monitoring.alarms import ALARM, INSUFFICIENT, OK, WARNING
from steps.monitoring.versions import Monitored
from steps.runs.files import replacing

WORDS = (OK, WARNING, ALARM, INSUFFICIENT)
MODEL = ("name", "model_version")


def write(path: Path, name: str, found: Sequence[Monitored]) -> None:
    """Replace a file by the figures of some models.

    Parameters
    ----------
    path : Path
    name : str
        Of the registered model.
    found : sequence of Monitored
    """
    registry = CollectorRegistry()

    def gauge(key: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"heart_monitor_{key}", text, (*MODEL, *labels), registry=registry)

    verdict = gauge("verdict", "1 for the verdict on the model, 0 for the others.", "verdict")
    psi = gauge("drift_psi", "Population stability index of each variable.", "variable")
    drift = gauge("drift", "1 where a variable drifts beyond chance.", "variable")
    missing = gauge("missing_rate", "Share of patients in whom a finding is unknown.", "variable")
    rows = gauge("rows", "Patients scored in the window.")
    ratio = gauge("observed_expected", "Patients with the disease, for each that was expected.")
    made = gauge("timestamp_seconds", "When this was found out.")
    for one in found:
        whose = (name, one.model.label)
        for word in WORDS:
            verdict.labels(*whose, word).set(word == one.verdict.word)
        for key, variable in one.found["variables"].items():
            drift.labels(*whose, key).set(variable["drift"])
            for which, figure in ((psi, "psi"), (missing, "missing_rate")):
                if variable[figure] is not None:
                    which.labels(*whose, key).set(variable[figure])
        rows.labels(*whose).set(one.found["rows"])
        outcomes = one.found["outcomes"] or {}
        if outcomes.get("measured"):
            ratio.labels(*whose).set(outcomes["measured"]["metrics"]["observed_expected"])
        made.labels(*whose).set_to_current_time()
    with replacing(path) as part:
        part.write_bytes(generate_latest(registry))
