"""The frame of every entry point: from the command line to a run that ended truthfully."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING

from steps.runs import parameters
from steps.runs.parameters import ParameterError, Value

if TYPE_CHECKING:
    from steps.runs.tracking import Launch

Values = Mapping[str, Value]


def run_step(
    step: str,
    work: Callable[..., None],
    argv: Sequence[str] | None = None,
    *,
    ahead: Callable[[Values], None] | None = None,
    resolve: Callable[[Values, str], object] | None = None,
) -> int:
    """Run an entry point and return its exit code.

    Parameters
    ----------
    step : str
        Name of the entry point.
    work : callable
        ``work(run, values)``, or ``work(run, values, resolved)`` with a `resolve`.
    argv : sequence of str, optional
        The words of the command line; those of this process by default.
    ahead : callable, optional
        ``ahead(values)`` starts what can go on beside this process while it loads MLflow.
    resolve : callable, optional
        ``resolve(values, experiment_id)`` looks up what the parameters name, before any run of
        ours is opened; it raises StepError where something does not exist.

    Returns
    -------
    int
        0; 2 where the parameters cannot be used and nothing was done; 1 where the work failed;
        130 where it was stopped.
    """
    values = read_or_refuse(step, sys.modules[work.__module__].__doc__ or "", argv)
    if values is None:
        return 2
    signal.signal(signal.SIGTERM, _stop)
    if argv is None:
        _collect_nothing()
    if ahead:
        ahead(values)
    return _run(step, work, values, resolve)


def read_or_refuse(
    step: str, description: str, argv: Sequence[str] | None = None
) -> dict[str, Value] | None:
    """Return the parameters of an entry point; None where they were refused, and that was told."""
    words = sys.argv[1:] if argv is None else argv
    try:
        return parameters.read(step, words, description.strip())
    except ParameterError as error:
        refusal = "\n".join(f"{step}: {line}" for line in str(error).splitlines())
    # MLflow takes seconds to import: the mistake is answered first.
    print(refusal, file=sys.stderr, flush=True)
    _refuse(refusal)
    return None


def _collect_nothing() -> None:
    """Spare the garbage collector what imports make: it would look through it time and again."""
    gc.disable()
    atexit.register(gc.freeze)  # else once more at the end


def _collect_from_here() -> None:
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def _stop(_signal: int, _frame: FrameType | None) -> None:
    # As Ctrl-C: unwinding closes the run as KILLED, and MLflow stops the step it has started.
    raise KeyboardInterrupt("stopped by SIGTERM")


def _refuse(refusal: str) -> None:
    """End the run that ``mlflow run`` has opened, if any; bad parameters open none of ours."""
    if "MLFLOW_RUN_ID" in os.environ:
        from steps.runs import store, tracking

        launch = tracking.take_launch()
        try:
            tracking.connect(launch)
        except store.StepError as error:
            tracking.say(str(error))
        else:
            _end_launch(launch, "FAILED", refusal)


def _run(
    step: str,
    work: Callable[..., None],
    values: Values,
    resolve: Callable[[Values, str], object] | None,
) -> int:
    from clinical.errors import DataError
    from steps.runs import orphans, store, tracking

    launch = tracking.take_launch()
    opened = False
    try:
        tracking.connect(launch)
        experiment_id = tracking.open_experiment(launch)
        orphans.close_orphans(experiment_id)
        resolved = (resolve(values, experiment_id),) if resolve else ()
        opened = True
        with tracking.step_run(step, values, launch, experiment_id) as run:
            _collect_from_here()
            work(run, values, *resolved)
    except (DataError, store.StepError, OSError, *store.STORE_ERRORS) as error:
        said = f"{step}: {store.explain(error)}"
        tracking.say(said)
        _end_launch(launch, "FAILED", said)
        return 1 if opened else 2
    except KeyboardInterrupt:
        tracking.say(f"{step}: stopped")
        _end_launch(launch, "KILLED", f"{step}: stopped")
        return 130
    except Exception as error:
        # Where it was, but not the error's own words: they may be a patient's value.
        print("Traceback (most recent call last):", file=sys.stderr)
        traceback.print_tb(error.__traceback__)
        tracking.say(f"{step}: {store.explain(error)}")
        _end_launch(launch, "FAILED", f"{step}: {store.explain(error)}")
        return 1
    return 0


def _end_launch(launch: Launch | None, status: str, note: str) -> None:
    """End the launch run, where no run of ours has ended it and the store still allows it."""
    from steps.runs import store, tracking

    try:
        if launch and tracking.is_open(launch):
            tracking.end_launch(launch, status, note)
    except store.STORE_ERRORS as error:
        tracking.say(store.explain(error))
