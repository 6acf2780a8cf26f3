"""Registration: make a version of a trained model, and let the gate judge it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from clinical import hospitals
from risk_model.card import wording
from risk_model.errors import ModelError
from risk_model.flavours import inputs
from risk_model.layout import open_folder
from risk_model.metadata import Data, Git, Metadata
from steps.parameters.entry_points import Register
from steps.registry import decisions, evidence, gate, updates
from steps.registry import versions as registry
from steps.registry.contenders import candidate_of, champion_of
from steps.registry.gate import Decision
from steps.registry.rules import Rule
from steps.registry.versions import number
from steps.runs import lineage
from steps.runs.launching import input_run
from steps.runs.store import StepError
from steps.runs.terminal import echo
from steps.runs.tracking.finished import fetch_output, latest_or_named
from steps.runs.tracking.step_run import StepRun


def register(run: StepRun, values: Register, given: Run | None) -> None:
    """Make a version of a train run, once; judge it; move the aliases."""
    name, promote = values.name, values.promote
    trained = given or input_run(Register, run)
    with registry.locked(name):
        version = registry.version_of(name, trained.info.run_id) or _new_version(name, trained)
        decision = decide(run, name, version, trained, read_later(values.outcomes))
        decisions.keep(run, name, number(version), decision)
        if decision.verdict == "passed" and promote != "false" and not _is_champion(name, version):
            registry.make_champion(name, number(version), by="gate")
        # An earlier registration may have been killed half-way.
        registry.align_stages(name)
    aliases = ", ".join(registry.aliases(name, version)) or "none"
    echo(gate.table(decision))
    echo(f"register: {name} version {version.version}: {decision.verdict}, {decision.reason}")
    echo(f"register: aliases of version {version.version}: {aliases}")
    run.tag("heart.version", version.version)
    run.rename(f"version {version.version}", decision.verdict)
    run.describe(f"{name} version {version.version}: {decision.verdict}, {decision.reason}.")
    run.link_model(registry.model_uri(trained).removeprefix("models:/"))
    if promote == "require" and not _is_champion(name, version):
        raise StepError(
            f"promote=require: version {version.version} is not champion: "
            f"{decision.verdict}, {decision.reason}"
        )


def _new_version(name: str, trained: Run) -> ModelVersion:
    metadata = described(trained)
    version = registry.add_version(name, trained, description(metadata), tags_of(metadata))
    registry.make_challenger(name, number(version))
    return version


def described(trained: Run) -> Metadata:
    """Return the metadata of a run's model, as the train step wrote them."""
    metadata = open_folder(fetch_output(trained, registry.model_uri(trained))).metadata
    if not metadata.run_id:
        raise StepError(f"the model of run {trained.info.run_id} was not made by this project")
    return metadata


def description(metadata: Metadata) -> str:
    """Return what the page of a version says about it: the cross-validated figures lead."""
    data = metadata.data or Data()
    patients = f"{data.rows.train} patients" if data.rows else "patients"
    return (
        f"{metadata.name} trained on {patients} (source: {data.source}). "
        f"{wording.described(metadata.measured)} Not for clinical use.\n\n{inputs.described()}"
    )


def tags_of(metadata: Metadata) -> dict[str, str]:
    """Return the tags of a version that say where it comes from."""
    data, git = metadata.data or Data(), metadata.git or Git()
    return {
        "model": metadata.name or "unknown",
        "data.source": data.source,
        "git.commit": git.commit or "unknown",
        "git.dirty": str(git.dirty).lower(),
    }


def _is_champion(name: str, version: ModelVersion) -> bool:
    champion = registry.holder(name, registry.CHAMPION)
    return champion is not None and number(champion) == number(version)


def read_later(outcomes: str) -> pd.DataFrame | None:
    """Return the patients of a file whose outcome is known; None where no file is given."""
    path = Path(outcomes)
    return hospitals.read_cohort(path, path.name).patients if outcomes else None


def decide(
    run: StepRun, name: str, version: ModelVersion, trained: Run, later: pd.DataFrame | None
) -> Decision:
    """Return the gate's decision; an earlier one stands as long as the champion is the same.

    Later outcomes ask it anew, and so does what `monitor` has found since.
    """
    champion = registry.holder(name, registry.CHAMPION)
    against = number(champion) if champion else ""
    shadow = evidence.in_shadow(name, against, number(version), run.experiment_id)
    before = decisions.read(version) if later is None else None
    if before:
        if registry.ROLLED_BACK_TAG in registry.tags_of(version):
            return before
        if against in (number(version), before.against) and (known := _known(before, shadow)):
            return known
    decision = _judge(trained, champion, later)
    return gate.heed(decision, shadow) if shadow else decision


def _known(before: Decision, shadow: Rule | None) -> Decision | None:
    """Return an earlier decision with what is known by now; None where it must be made anew."""
    if shadow is None or shadow in before.rules:
        return before
    own = [rule for rule in before.rules if evidence.IN_SHADOW not in rule.rule]
    if before.verdict == "rejected" and all(rule.passed for rule in own):
        return None  # by an earlier comparison in shadow, and nothing else
    return gate.heed(replace(before, rules=own), shadow)


def _judge(trained: Run, champion: ModelVersion | None, later: pd.DataFrame | None) -> Decision:
    limits, against = gate.read_rules(), number(champion) if champion else ""
    try:
        model = lineage.of_run(trained, registry.model_uri(trained))
        candidate = candidate_of(model)
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
    return gate.judge(candidate, champion_of(against, before, model), limits)


def resolve(values: Register, experiment_id: str) -> Run | None:
    """Look up the train run that `run_id` names; an empty one means the latest."""
    registry.check_name(values.name)
    return latest_or_named("train", values.run_id, experiment_id)
