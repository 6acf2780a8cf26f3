"""Judging a version: by an earlier decision as long as it stands, or else by the gate."""

import json
from dataclasses import replace
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from risk_model.errors import ModelError
from steps.registry import contenders, decisions, gate, rules, updates
from steps.registry import versions as registry
from steps.runs import lineage
from steps.runs.tracking.finished import stored_artifact
from steps.runs.tracking.step_run import StepRun
from steps.runs.tracking.tags import STEP_TAG

FIGURES = "monitoring.json"
"""The artifact in which a run of `monitor` has its figures."""
VERSION_TAG = "monitor.version"
IN_SHADOW = "patients in shadow"
NEWEST = 20
"""So many runs are looked through."""


def decide(
    run: StepRun, name: str, version: ModelVersion, trained: Run, later: pd.DataFrame | None
) -> gate.Decision:
    """Return the gate's decision; an earlier one stands as long as the champion is the same.

    It is taken anew for later outcomes, and for later results of `monitor`.
    """
    champion = registry.holder(name, registry.CHAMPION)
    against = registry.number(champion) if champion else ""
    shadow = _in_shadow(name, against, registry.number(version), run.experiment_id)
    before = decisions.read(version) if later is None else None
    if before:
        if registry.ROLLED_BACK_TAG in registry.tags_of(version):
            return before
        earlier = _with_evidence(before, shadow)
        if earlier and against in (registry.number(version), before.against):
            return earlier
    decision = _judge(trained, champion, later)
    return gate.add_evidence(decision, shadow) if shadow else decision


def _with_evidence(before: gate.Decision, shadow: rules.Rule | None) -> gate.Decision | None:
    """Return an earlier decision with later evidence; None where it must be taken anew."""
    if shadow is None or shadow in before.rules:
        return before
    own = [rule for rule in before.rules if IN_SHADOW not in rule.rule]
    if before.verdict == "rejected" and all(rule.passed for rule in own):
        return None  # by an earlier comparison in shadow, and nothing else
    return gate.add_evidence(replace(before, rules=own), shadow)


def _judge(
    trained: Run, champion: ModelVersion | None, later: pd.DataFrame | None
) -> gate.Decision:
    limits, against = gate.read_rules(), registry.number(champion) if champion else ""
    try:
        model = lineage.of_run(trained, registry.model_uri(trained))
        candidate = contenders.candidate_of(model)
    except ModelError as error:
        return gate.refuse(str(error), against)
    base = model.metadata.base
    # Not by the version's own URI: a workspace gives its files out by requests of its own. And
    # under a name of its own, an update is compared with the model that it is one of.
    source = champion.source if champion else base.uri if base else None
    if source is None:
        return gate.judge(candidate, None, limits)
    before = lineage.follow(source)
    if model.metadata.is_update:
        return updates.judge(model, before, against, later, limits)
    return gate.judge(candidate, contenders.champion_of(against, before, model), limits)


def _in_shadow(name: str, champion: str, candidate: str, experiment_id: str) -> rules.Rule | None:
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


def _rule(paired: dict[str, Any], run_id: str) -> rules.Rule:
    about = f"Brier score, {paired['patients']} {IN_SHADOW}, not worse beyond chance"
    new, old = paired.get("challenger_brier"), paired.get("brier")
    return rules.Rule(f"{about} (monitor run {run_id})", new, old, passed=paired["high"] >= 0)
