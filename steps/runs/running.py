"""The frame of every entry point: from the command line to a run that ended truthfully."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from risk_model.locations import ensure_account
from steps.parameters.declaration import ParameterError, parse, step_name
from steps.runs import stopping
from steps.runs.terminal import echo, outlive_readers

if TYPE_CHECKING:
    from steps.runs.tracking.launch_run import Launch
    from steps.runs.tracking.step_run import StepRun

P = TypeVar("P")


@dataclass(frozen=True)
class Work(Generic[P]):
    """What an entry point does.

    Parameters
    ----------
    run : callable
        ``run(run, values, resolved)`` does the work in the open run.
    resolve : callable
        ``resolve(values, experiment_id)`` looks up what the parameters name, before any run of
        ours is opened; it raises StepError where something does not exist.
    """

    run: Callable[[StepRun, P, Any], None]
    resolve: Callable[[P, str], object] = lambda _values, _experiment_id: None


def run_step(
    entry: type[P],
    load: Callable[[], Work[P]],
    description: str | None,
    argv: Sequence[str] | None = None,
    *,
    ahead: Callable[[P], None] | None = None,
) -> int:
    """Run an entry point and return its exit code.

    Parameters
    ----------
    load : callable
        Imports the work, which takes seconds, once it is known that there is some.
    description : str
        What ``--help`` says of it.
    argv : sequence of str, optional
        The words of the command line; those of this process by default.
    ahead : callable, optional
        ``ahead(values)`` starts what can go on beside this process while it loads MLflow.

    Returns
    -------
    int
        0; 2 where the parameters cannot be used and nothing was done; 1 where the work failed;
        130 where it was stopped.
    """
    if argv is None:
        outlive_readers()
        _pause_garbage_collection()
    ensure_account()
    stopping.unwind()
    values = parse_or_refuse(entry, description, argv)
    if values is None:
        return 2
    if ahead:
        ahead(values)
    return _run(values, load)


def parse_or_refuse(
    entry: type[P], description: str | None, argv: Sequence[str] | None = None
) -> P | None:
    """Return the parameters of an entry point; None where they were refused with a message."""
    words = sys.argv[1:] if argv is None else argv
    try:
        return parse(entry, words, (description or "").strip())
    except ParameterError as error:
        refusal = "\n".join(f"{step_name(entry)}: {line}" for line in str(error).splitlines())
    # MLflow takes seconds to import: the mistake is answered first.
    echo(refusal)
    # Bad parameters open no run of ours.
    _end_launch(_take_launch(), "FAILED", refusal)
    return None


def _pause_garbage_collection() -> None:
    """Spare the garbage collector what imports make: it would look through it time and again."""
    gc.disable()
    atexit.register(gc.freeze)  # else once more at the end


def _resume_garbage_collection() -> None:
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def _take_launch() -> Launch | None:
    """Return the run that ``mlflow run`` has opened, where nothing else has been done yet."""
    if not os.environ.get("MLFLOW_RUN_ID"):
        return None
    from steps.runs import store
    from steps.runs.tracking import launch_run

    try:
        return launch_run.connect()
    except store.StepError as error:
        echo(str(error))
        return None


def _run(values: P, load: Callable[[], Work[P]]) -> int:
    step = step_name(type(values))
    try:
        with stopping.deferred():
            from clinical.errors import DataError
            from steps.runs import store
            from steps.runs.tracking import experiment, launch_run, orphans, step_run
    except KeyboardInterrupt:
        return _end_stopped(step, _take_launch())
    launch: Launch | None = None
    opened = False
    try:
        launch = launch_run.connect()
        experiment_id = experiment.open_experiment(launch)
        orphans.close_orphans(experiment_id)
        with stopping.deferred():
            work = load()
        resolved = work.resolve(values, experiment_id)
        opened = True
        with step_run.open_run(values, launch, experiment_id) as run:
            _resume_garbage_collection()
            work.run(run, values, resolved)
    except store.store_errors(DataError, store.StepError, OSError) as error:
        _end_failed(step, launch, error)
        return 1 if opened else 2
    except KeyboardInterrupt:
        return _end_stopped(step, launch)
    except Exception as error:
        # Where it was, but not the error's own words: they may be a patient's value.
        print("Traceback (most recent call last):", file=sys.stderr)
        traceback.print_tb(error.__traceback__)
        _end_failed(step, launch, error)
        return 1
    return 0


def _end_failed(step: str, launch: Launch | None, error: Exception) -> None:
    from steps.runs import store

    message = f"{step}: {store.explain(error)}"
    echo(message)
    _end_launch(launch, "FAILED", message)


def _end_stopped(step: str, launch: Launch | None) -> int:
    """Return the exit code of a step that was stopped."""
    from steps.runs.tracking import launch_run

    # A step that another one has launched leaves it to that to say so.
    if launch is None or not launch.nested:
        echo(f"{step}: stopped")
    _end_launch(launch, "KILLED", f"{step}: stopped")
    if launch and not launch.nested:
        launch_run.stay_killed(launch)
    return 130


def _end_launch(launch: Launch | None, status: str, note: str) -> None:
    """End the launch run, where no run of ours has ended it and the store still allows it."""
    if launch is None:
        return
    from steps.runs import store
    from steps.runs.tracking import launch_run

    try:
        if launch_run.is_open(launch):
            launch_run.end_launch(launch, status, note)
    except store.store_errors() as error:
        echo(store.explain(error))
