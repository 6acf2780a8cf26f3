"""Monitoring: the prediction log against the baseline of each model, and against the outcomes."""

import math
import re
from pathlib import Path

from risk_model.prediction_log.records import PROBABILITY, SCHEMA, bins_of, default_folder
from steps.monitoring import outcomes, reading, textfile, versions
from steps.parameters.entry_points import Monitor
from steps.registry import versions as registry
from steps.runs import files, lineage
from steps.runs.store import StepError
from steps.runs.terminal import echo
from steps.runs.tracking.step_run import StepRun, Work
from steps.work import account

LABEL = re.compile(r"registry-v([1-9]\d*)")
"""How answers name a version of the registry."""


def monitor(run: StepRun, values: Monitor, logged: reading.Logged) -> None:
    """Judge each model whose answers were logged, and write it all down."""
    window = logged.since(values.days)
    models, notes = find_models(values.name, window)
    if not models:
        raise StepError("; ".join([f"{logged.folder} has nothing of {values.name}", *notes]))
    joined = join(values, logged)
    monitored = [versions.measure(model, window, logged, joined) for model, _ in models]
    notes = [*logged.notes, *notes]
    account.log_inputs(run, monitored[0], models[0][1], window)
    account.log_figures(run, monitored[0], models[0][1].model_id)
    if values.textfile:
        textfile.write(Path(values.textfile), values.name, monitored)
    account.log_pages(run, values, monitored, joined, notes)
    for one in monitored:
        echo(f"monitor: {one.model.label}: {one.verdict.word}: {one.verdict.reason}")
    for note in notes:
        echo(f"monitor: {note}")
    fail(values.fail_on, monitored)


def find_models(
    name: str, window: reading.Logged
) -> tuple[list[tuple[versions.Model, lineage.Lineage]], list[str]]:
    """Return the models in the log with where they come from, the leading one first.

    That is the champion, or else the one that answered last. What else has answered is noted.
    """
    champion = registry.holder(name, registry.CHAMPION)
    leading = f"registry-v{registry.number(champion)}" if champion else ""
    models, notes = [], []
    for label in sorted(window.versions, key=lambda label: label != leading):
        number = LABEL.fullmatch(label)
        try:
            if number is None:
                raise StepError("it is no version of the registry")
            origin = lineage.follow(f"models:/{name}/{number[1]}")
        except StepError as error:
            notes.append(f"what {label} answered is left out: {error}")
            continue
        models.append((describe(label, number[1], origin), origin))
    return models, notes


def describe(label: str, number: str, origin: lineage.Lineage) -> versions.Model:
    """Return a model with its baseline: that of its metadata, or else its patients in the store."""
    metadata = origin.metadata
    bins, before = bins_of(metadata.baseline), None
    if metadata.baseline is not None and metadata.baseline.log_schema == SCHEMA:
        before = reading.count_baseline(bins)
    elif origin.training is not None and origin.out_of_fold is not None:
        before = reading.count_rows(bins, origin.training.assign(**{PROBABILITY: math.nan}))
        before |= reading.count_rows({PROBABILITY: bins[PROBABILITY]}, origin.out_of_fold)
    return versions.Model(label, number, metadata, bins, before)


def join(values: Monitor, logged: reading.Logged) -> outcomes.Joined | None:
    """Join outcomes to their patients, and write these to the file of `labelled`, if any."""
    if not values.outcomes:
        return None
    if logged.rows.empty:
        raise StepError(
            "outcomes need HEART_PREDICTION_LOG=rows: the log holds counts, and no patient's id"
        )
    joined = outcomes.join(logged.rows, outcomes.read(Path(values.outcomes)))
    if values.labelled:
        with files.replacing(Path(values.labelled)) as part:
            outcomes.labelled(joined.patients).to_parquet(part, index=False)
    return joined


def fail(fail_on: str, monitored: list[versions.Monitored]) -> None:
    """Raise a StepError where the verdict on a model is as bad as `fail_on`."""
    bad = [one for one in monitored if fail_on != "never" and one.verdict.is_at_least(fail_on)]
    if bad:
        raise StepError(
            f"fail_on={fail_on}: "
            + "; ".join(f"{one.model.label}: {one.verdict.reason}" for one in bad)
        )


def resolve(values: Monitor, _experiment_id: str) -> reading.Logged:
    """Read the log, before any run is opened."""
    registry.check_name(values.name)
    if values.labelled and not values.outcomes:
        raise StepError("labelled=<path> needs outcomes=<file>: without them nobody is labelled")
    return reading.read(Path(values.log) if values.log else default_folder())


WORK = Work(monitor, resolve)
