"""Move a version by hand: to champion, challenger or the archive, or back to the last champion."""

from __future__ import annotations

import sys

from steps.registry import versions as registry
from steps.runs.running import Values, run_step
from steps.runs.store import StepError
from steps.runs.tracking import StepRun, say


def promote(run: StepRun, values: Values, _: None) -> None:
    """Move the version that the parameters name, and say who is champion now."""
    name, version = str(values["name"]), str(values["version"])
    with registry.locked(name):
        if values["rollback"]:
            dethroned, restored = registry.roll_back(name)
            said = f"{name}: champion is version {restored} again, instead of {dethroned}"
        else:
            said = _move(name, version, str(values["to"]))
    run.tag("heart.moved", said)
    say(f"promote: {said}")


def _move(name: str, version: str, to: str) -> str:
    if to == registry.CHAMPION:
        registry.make_champion(name, version, by="hand")
    elif to == registry.CHALLENGER:
        registry.make_challenger(name, version)
    else:
        registry.archive(name, version)
    return f"{name}: version {version} is {to} now"


def resolve(values: Values, _experiment_id: str) -> None:
    """Check that there is something to move."""
    if bool(values["version"]) == bool(values["rollback"]):
        raise StepError("give either version=<number>, or rollback=true")
    registry.check_name(str(values["name"]))
    if values["version"]:
        registry.named(str(values["name"]), str(values["version"]))


def main() -> int:
    """Run the step from the command line."""
    return run_step("promote", promote, resolve=resolve)


if __name__ == "__main__":
    sys.exit(main())
