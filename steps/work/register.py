"""Registration: make a version of a trained model, and let the gate judge it."""

from pathlib import Path

from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from clinical.hospitals import read_cohort
from risk_model.card import wording
from risk_model.flavours import inputs
from risk_model.metadata import Data, Git, Metadata
from steps.parameters.entry_points import Register
from steps.registry import decisions, gate, judging
from steps.registry import versions as registry
from steps.runs import launching, lineage
from steps.runs.store import StepError
from steps.runs.terminal import echo
from steps.runs.tracking.finished import latest_or_named
from steps.runs.tracking.step_run import StepRun, Work


def register(run: StepRun, values: Register, given: Run | None) -> None:
    """Make a version of a train run, once; judge it; move the aliases."""
    name, promote = values.name, values.promote
    trained = given or launching.build_input(Register, run)
    with registry.locked(name):
        version = registry.version_of(name, trained.info.run_id) or _new_version(name, trained)
        path = Path(values.outcomes)
        later = read_cohort(path, path.name).patients if values.outcomes else None
        decision = judging.decide(run, name, version, trained, later)
        decisions.keep(run, name, registry.number(version), decision)
        if decision.verdict == "passed" and promote != "false" and not _is_champion(name, version):
            registry.make_champion(name, registry.number(version), by="gate")
        # An earlier registration may have been killed half-way.
        registry.align_stages(name)
    aliases = ", ".join(registry.aliases(name, registry.number(version))) or "none"
    judged = f"{decision.verdict}, {decision.reason}"
    echo(gate.table(decision))
    echo(f"register: {name} version {version.version}: {judged}")
    echo(f"register: aliases of version {version.version}: {aliases}")
    run.tag("heart.version", version.version)
    run.rename(f"version {version.version}", decision.verdict)
    run.describe(f"{name} version {version.version}: {judged}.")
    run.link_model(registry.model_uri(trained).removeprefix("models:/"))
    if promote == "require" and not _is_champion(name, version):
        raise StepError(f"promote=require: version {version.version} is not champion: {judged}")


def _new_version(name: str, trained: Run) -> ModelVersion:
    metadata = described(trained)
    version = registry.add_version(name, trained, description(metadata), tags_of(metadata))
    registry.make_challenger(name, registry.number(version))
    return version


def described(trained: Run) -> Metadata:
    """Return the metadata of a run's model, as the train step wrote them."""
    metadata = lineage.of_run(trained, registry.model_uri(trained)).metadata
    if not metadata.run_id:
        raise StepError(f"the model of run {trained.info.run_id} was not made by this project")
    return metadata


def description(metadata: Metadata) -> str:
    """Return the description of a version for its page: the cross-validated figures lead."""
    data = metadata.data or Data()
    patients = f"{data.rows.train} patients" if data.rows else "patients"
    return (
        f"{metadata.name} trained on {patients} (source: {data.source}). "
        f"{wording.described(metadata.measured)} Not for clinical use.\n\n{inputs.described()}"
    )


def tags_of(metadata: Metadata) -> dict[str, str]:
    """Return the tags of a version on its origin."""
    git = metadata.git or Git()
    return {
        "model": metadata.name or "unknown",
        "data.source": metadata.source,
        "git.commit": git.commit or "unknown",
        "git.dirty": str(git.dirty).lower(),
    }


def _is_champion(name: str, version: ModelVersion) -> bool:
    return registry.CHAMPION in registry.aliases(name, registry.number(version))


def resolve(values: Register, experiment_id: str) -> Run | None:
    """Look up the train run that `run_id` names; an empty one means the latest."""
    registry.check_name(values.name)
    return latest_or_named("train", values.run_id, experiment_id)


WORK = Work(register, resolve)
