"""Monitoring: the prediction log against the baseline of each model, and against the outcomes."""

from __future__ import annotations

import hashlib
import math
import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import DatasetInput, InputTag
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT
from pandas.util import hash_pandas_object

from clinical.schema import FEATURE_NAMES
from risk_model.prediction_log.records import PROBABILITY, SCHEMA, bins_of, default_folder
from steps.monitoring import outcomes, reading, textfile, versions
from steps.monitoring.outcomes import Joined
from steps.monitoring.reading import Logged
from steps.monitoring.versions import Model, Monitored
from steps.parameters.entry_points import Monitor
from steps.registry import versions as registry
from steps.registry.evidence import FIGURES, VERSION_TAG
from steps.reports import monitoring_report
from steps.runs import lineage
from steps.runs.files import as_json, replacing
from steps.runs.lineage import Lineage
from steps.runs.store import StepError
from steps.runs.terminal import echo
from steps.runs.tracking.datasets import PATIENTS, as_dataset
from steps.runs.tracking.step_run import StepRun

LABEL = re.compile(r"registry-v([1-9]\d*)")
"""How answers name a version of the registry."""
CURRENT = "prediction-log"
"""What the log is called as a dataset."""
LOGGED = ("observed_expected", "calibration_intercept", "calibration_slope", "roc_auc", "brier")
"""The measures of outcomes that are metrics of the run; monitoring.json has the rest."""


def monitor(run: StepRun, values: Monitor, logged: Logged) -> None:
    """Judge each model whose answers were logged, and write it all down."""
    window = logged.since(values.days)
    models, notes = find_models(values.name, window)
    if not models:
        raise StepError("; ".join([f"{logged.folder} has nothing of {values.name}", *notes]))
    joined = join(values, logged)
    found = [versions.measure(model, window, logged, joined) for model, _ in models]
    notes = [*logged.notes, *notes]
    log_inputs(run, found[0], models[0][1], window)
    log_figures(run, found[0], models[0][1].model_id)
    if values.textfile:
        textfile.write(Path(values.textfile), values.name, found)
    log_pages(run, values, found, joined, notes)
    for one in found:
        echo(f"monitor: {one.model.label}: {one.verdict.word}: {one.verdict.reason}")
    for note in notes:
        echo(f"monitor: {note}")
    fail(values.fail_on, found)


def find_models(name: str, window: Logged) -> tuple[list[tuple[Model, Lineage]], list[str]]:
    """Return the models in the log with where they come from, the leading one first.

    That is the champion, or else the one that answered last. What else has answered is noted.
    """
    champion = registry.holder(name, registry.CHAMPION)
    leading = f"registry-v{registry.number(champion)}" if champion else ""
    found, notes = [], []
    for label in sorted(window.versions, key=lambda label: label != leading):
        number = LABEL.fullmatch(label)
        try:
            if number is None:
                raise StepError("it is no version of the registry")
            origin = lineage.follow(f"models:/{name}/{number[1]}")
        except StepError as error:
            notes.append(f"what {label} answered is left out: {error}")
            continue
        found.append((describe(label, number[1], origin), origin))
    return found, notes


def describe(label: str, number: str, origin: Lineage) -> Model:
    """Return a model with its baseline: where it states none, its patients in the store are it."""
    metadata = origin.metadata
    bins, before = bins_of(metadata.baseline), None
    if metadata.baseline is not None and metadata.baseline.log_schema == SCHEMA:
        before = reading.count_baseline(bins)
    elif origin.training is not None and origin.out_of_fold is not None:
        before = reading.count_rows(bins, origin.training.assign(**{PROBABILITY: math.nan}))
        before |= reading.count_rows({PROBABILITY: bins[PROBABILITY]}, origin.out_of_fold)
    return Model(label, number, metadata, bins, before)


def join(values: Monitor, logged: Logged) -> Joined | None:
    """Find the patients of the outcomes, and write them down where that is asked for."""
    if not values.outcomes:
        return None
    if logged.rows.empty:
        raise StepError(
            "outcomes need HEART_PREDICTION_LOG=rows: the log holds counts, and no patient's id"
        )
    joined = outcomes.join(logged.rows, outcomes.read(Path(values.outcomes)))
    if values.labelled:
        with replacing(Path(values.labelled)) as part:
            outcomes.labelled(joined.patients).to_parquet(part, index=False)
    return joined


def log_inputs(run: StepRun, leading: Monitored, origin: Lineage, window: Logged) -> None:
    """Note what was compared: the model, its training data as baseline, and the log."""
    if origin.model_id:
        run.link_model(origin.model_id)
    if origin.trained is not None and origin.trained.inputs is not None:
        baseline = [
            DatasetInput(one.dataset, [InputTag(MLFLOW_DATASET_CONTEXT, "baseline")])
            for one in origin.trained.inputs.dataset_inputs
            if one.dataset.name == PATIENTS
        ]
        MlflowClient().log_inputs(run.run_id, datasets=baseline)
    label = leading.model.label
    rows, profile = (part[part["model_version"] == label] for part in (window.rows, window.profile))
    current = rows[list(FEATURE_NAMES)] if len(rows) else profile[["variable", "bin", "count"]]
    digest = hashlib.sha256(hash_pandas_object(current, index=False).to_numpy().tobytes())
    run.datasets[CURRENT] = as_dataset(
        current, uri=str(window.folder), name=CURRENT, digest=digest.hexdigest(), targets=None
    )
    mlflow.log_input(run.datasets[CURRENT], context="current")


def log_figures(run: StepRun, leading: Monitored, model_id: str | None) -> None:
    """Log the leading model's figures and verdict."""
    found, variables = leading.found, dict(leading.found["variables"])
    figures = {name: found[name] for name in ("rows", "mean_probability", "expected_brier")}
    figures["prediction_drift_psi"] = variables.pop(PROBABILITY)["psi"]
    for name, one in variables.items():
        figures |= {
            f"data_drift_psi_{name}": one["psi"],
            f"missing_rate_{name}": one["missing_rate"],
        }
    measured = (found["outcomes"] or {}).get("measured")
    if measured:
        figures |= {name: measured["metrics"].get(name) for name in LOGGED}
    run.log_metrics(figures, CURRENT, model_id)
    run.rename(f"version {leading.model.version}", leading.verdict.word)
    run.describe(leading.verdict.reason)
    run.tag("monitor.verdict", leading.verdict.word)
    run.tag("monitor.reason", leading.verdict.reason)
    run.tag(VERSION_TAG, leading.model.version)


def log_pages(
    run: StepRun, values: Monitor, found: list[Monitored], joined: Joined | None, notes: list[str]
) -> None:
    """Log what was found as a page and as JSON."""
    about: dict[str, Any] = {
        "name": values.name,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "days": values.days,
        "notes": notes,
        "outcomes": joined and {
            "given": joined.given, "used": len(joined.patients), "account": joined.account
        },
    }  # fmt: skip
    models = [one.found for one in found]
    with tempfile.TemporaryDirectory() as name:
        page, figures = Path(name, "monitoring.html"), Path(name, FIGURES)
        page.write_text(monitoring_report.draw(about, models))
        figures.write_text(as_json({**about, "models": models}))
        for file in (page, figures):
            run.log_file(file, copy="reports")


def fail(fail_on: str, found: list[Monitored]) -> None:
    """Fail where the verdict on a model is as bad as `fail_on`.

    Raises
    ------
    StepError
    """
    bad = [one for one in found if fail_on != "never" and one.verdict.is_at_least(fail_on)]
    if bad:
        raise StepError(
            f"fail_on={fail_on}: "
            + "; ".join(f"{one.model.label}: {one.verdict.reason}" for one in bad)
        )


def resolve(values: Monitor, _experiment_id: str) -> Logged:
    """Read the log, before any run is opened."""
    registry.check_name(values.name)
    if values.labelled and not values.outcomes:
        raise StepError("labelled=<path> needs outcomes=<file>: without them nobody is labelled")
    return reading.read(Path(values.log) if values.log else default_folder())
