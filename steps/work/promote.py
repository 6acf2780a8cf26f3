"""Promotion by hand: move a version, or bring the last champion back."""

from __future__ import annotations

from steps.parameters.entry_points import Promote
from steps.registry import versions as registry
from steps.runs.running import Work
from steps.runs.store import StepError
from steps.runs.terminal import echo
from steps.runs.tracking.step_run import StepRun


def promote(run: StepRun, values: Promote, _: object) -> None:
    """Move the version that the parameters name, and print the new champion."""
    name, version = values.name, values.version
    with registry.locked(name):
        if values.rollback:
            dethroned, restored = registry.roll_back(name)
            message = f"{name}: champion is version {restored} again, instead of {dethroned}"
        else:
            message = _move(name, version, values.to)
    run.describe(message)
    echo(f"promote: {message}")


def _move(name: str, version: str, to: str) -> str:
    if to == registry.CHAMPION:
        registry.make_champion(name, version, by="hand")
    elif to == registry.CHALLENGER:
        registry.make_challenger(name, version)
    else:
        registry.archive(name, version)
    return f"{name}: version {version} is {to} now"


def resolve(values: Promote, _experiment_id: str) -> None:
    """Check that there is something to move."""
    if bool(values.version) == values.rollback:
        raise StepError("give either version=<number>, or rollback=true")
    registry.check_name(values.name)
    if values.version:
        registry.named(values.name, values.version)


WORK = Work(promote, resolve)
