"""Promotion by hand: move a version, or bring the last champion back."""

from steps.parameters.entry_points import Promote
from steps.registry import versions as registry
from steps.runs.store import StepError
from steps.runs.terminal import echo
from steps.runs.tracking.step_run import StepRun, Work


def promote(run: StepRun, values: Promote, _: object) -> None:
    """Move the version that the parameters name, and print the new champion."""
    name, version = values.name, values.version
    with registry.locked(name):
        message = f"{name}: version {version} is {values.to} now"
        if values.rollback:
            dethroned, restored = registry.roll_back(name)
            message = f"{name}: champion is version {restored} again, instead of {dethroned}"
        elif values.to == registry.CHAMPION:
            registry.make_champion(name, version, by="hand")
        elif values.to == registry.CHALLENGER:
            registry.make_challenger(name, version)
        else:
            registry.archive(name, version)
    run.describe(message)
    echo(f"promote: {message}")


def resolve(values: Promote, _experiment_id: str) -> None:
    """Check that there is something to move."""
    if bool(values.version) == values.rollback:
        raise StepError("give either version=<number>, or rollback=true")
    registry.check_name(values.name)
    if values.version:
        registry.named(values.name, values.version)


WORK = Work(promote, resolve)
