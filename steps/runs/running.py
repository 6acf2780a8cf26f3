"""The frame of every entry point: from the command line to a run that ended truthfully."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from risk_model.locations import ensure_account
from steps.parameters.declaration import ParameterError, parse, step_name
from steps.runs import process
from steps.runs.terminal import echo, outlive_readers

if TYPE_CHECKING:
    from steps.runs.tracking.launch_run import Launch

P = TypeVar("P")


def run_step(
    entry: type[P],
    module: str,
    description: str | None,
    argv: Sequence[str] | None = None,
    *,
    ahead: Callable[[P], None] | None = None,
) -> int:
    """Run an entry point, by default with the arguments of this process, and return its exit code.

    That is 2 where the parameters cannot be used and nothing was done, 1 where the work failed, 130
    where it was stopped. `module` names the one whose ``WORK`` is run; it is imported, which takes
    seconds, once the parameters are valid. ``ahead(values)`` starts what can go on beside that.
    """
    if argv is None:
        outlive_readers()
        process.pause_garbage_collection()
    ensure_account()
    process.unwind()
    values = parse_or_refuse(entry, description, argv)
    if values is None:
        return 2
    if ahead:
        ahead(values)
    return _run(values, module)


def parse_or_refuse(
    entry: type[P], description: str | None, argv: Sequence[str] | None = None
) -> P | None:
    """Return the parameters of an entry point; None where they were refused with a message."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        return parse(entry, arguments, (description or "").strip())
    except ParameterError as error:
        refusal = "\n".join(f"{step_name(entry)}: {line}" for line in str(error).splitlines())
    # MLflow takes seconds to import: the mistake is answered first.
    echo(refusal)
    # Bad parameters open no run of ours.
    if launch := _launch():
        launch.close("FAILED", refusal)
    return None


def _run(values: object, module: str) -> int:
    step = step_name(type(values))
    try:
        with process.deferred():
            from steps.runs import store
            from steps.runs.tracking import experiment, launch_run, opening, orphans
    except KeyboardInterrupt:
        return _end_stopped(step, _launch())
    launch: Launch | None = None
    opened = False
    try:
        launch = launch_run.connect()
        experiment_id = experiment.open_experiment(launch)
        orphans.close_orphans(experiment_id)
        with process.deferred():
            work = import_module(module).WORK
        resolved = work.resolve(values, experiment_id)
        opened = True
        with opening.open_run(values, launch, experiment_id) as run:
            process.resume_garbage_collection()
            work.run(run, values, resolved)
    except KeyboardInterrupt:
        return _end_stopped(step, launch)
    except Exception as error:
        expected = isinstance(error, store.expected_errors())
        if not expected:
            # The place, but not the error's own message: it may hold a patient's value.
            print("Traceback (most recent call last):", file=sys.stderr)
            traceback.print_tb(error.__traceback__)
        message = f"{step}: {store.explain(error)}"
        echo(message)
        if launch:
            launch.close("FAILED", message)
        return 2 if expected and not opened else 1
    return 0


def _launch() -> Launch | None:
    """Return the run that ``mlflow run`` has opened, where it is still empty."""
    if not os.environ.get("MLFLOW_RUN_ID"):
        return None
    from steps.runs import store
    from steps.runs.tracking import launch_run

    try:
        return launch_run.connect()
    except store.StepError as error:
        echo(str(error))
        return None


def _end_stopped(step: str, launch: Launch | None) -> int:
    """Return the exit code of a step that was stopped."""
    # The error of a step that another one has launched is printed by that.
    if launch is None or not launch.nested:
        echo(f"{step}: stopped")
    if launch:
        launch.close("KILLED", f"{step}: stopped")
    return 130
