"""The result of `monitor` on a challenger in shadow, as evidence for the gate."""

from __future__ import annotations

import json
from typing import Any

from mlflow import MlflowClient

from steps.registry.rules import Rule
from steps.runs.tracking.finished import stored_artifact
from steps.runs.tracking.tags import STEP_TAG

FIGURES = "monitoring.json"
"""The artifact in which a run of `monitor` has its figures."""
VERSION_TAG = "monitor.version"
IN_SHADOW = "patients in shadow"
NEWEST = 20
"""So many runs are looked through."""


def in_shadow(name: str, champion: str, candidate: str, experiment_id: str) -> Rule | None:
    """Return the rule that a challenger was not worse than the champion on patients of the log.

    It is from the newest run of `monitor` that has compared these two versions by outcomes; None
    where there is none. One of the two may have learnt from these patients since: this is a veto,
    and no reason to promote.
    """
    query = (
        f"attributes.status != 'RUNNING' and tags.`{STEP_TAG}` = 'monitor' and "
        f"params.name = '{name}' and tags.`{VERSION_TAG}` = '{champion}'"
    )
    order = ["attributes.start_time DESC"]
    runs = MlflowClient().search_runs([experiment_id], query, order_by=order, max_results=NEWEST)
    for run in runs:
        path = stored_artifact(run.info.run_id, FIGURES)
        for model in json.loads(path.read_text())["models"] if path else ():
            for shadow in model["shadow"] if model["version"] == champion else ():
                if shadow["challenger"] == f"registry-v{candidate}" and shadow["paired"]:
                    return _rule(shadow["paired"], run.info.run_id)
    return None


def _rule(paired: dict[str, Any], run_id: str) -> Rule:
    title = (
        f"Brier score, {paired['patients']} {IN_SHADOW}, not worse beyond chance "
        f"(monitor run {run_id})"
    )
    new, old = (paired.get(name) for name in ("challenger_brier", "brier"))
    return Rule(title, new, old, passed=paired["high"] >= 0)
