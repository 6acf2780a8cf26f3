"""The account of a monitoring run: its inputs, its figures, and its report."""

from datetime import UTC, datetime

import mlflow
from mlflow.entities import DatasetInput, InputTag
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from clinical.schema import FEATURE_NAMES
from risk_model.prediction_log.records import PROBABILITY
from steps.monitoring import outcomes, reading, versions
from steps.parameters.entry_points import Monitor
from steps.registry.judging import FIGURES, VERSION_TAG
from steps.reports import monitoring_report
from steps.runs.files import as_json
from steps.runs.lineage import Lineage
from steps.runs.tracking import datasets
from steps.runs.tracking.step_run import StepRun

CURRENT = "prediction-log"
"""What the log is called as a dataset."""


def log_inputs(
    run: StepRun, leading: versions.Monitored, origin: Lineage, window: reading.Logged
) -> None:
    """Log what was compared: the model, its training data as baseline, and the log."""
    if origin.model_id:
        run.link_model(origin.model_id)
    if origin.trained is not None and origin.trained.inputs is not None:
        baseline = [
            DatasetInput(one.dataset, [InputTag(MLFLOW_DATASET_CONTEXT, "baseline")])
            for one in origin.trained.inputs.dataset_inputs
            if one.dataset.name == datasets.PATIENTS
        ]
        mlflow.MlflowClient().log_inputs(run.run_id, datasets=baseline)
    label = leading.model.label
    rows, profile = (part[part["model_version"] == label] for part in (window.rows, window.profile))
    current = rows[list(FEATURE_NAMES)] if len(rows) else profile[["variable", "bin", "count"]]
    run.datasets[CURRENT] = datasets.as_dataset(
        current, uri=str(window.folder), name=CURRENT, targets=None
    )
    mlflow.log_input(run.datasets[CURRENT], context="current")


def log_figures(run: StepRun, leading: versions.Monitored, model_id: str | None) -> None:
    """Log the leading model's figures and verdict."""
    summary, variables = leading.summary, dict(leading.summary["variables"])
    figures = {name: summary[name] for name in ("rows", "mean_probability", "expected_brier")}
    figures["prediction_drift_psi"] = variables.pop(PROBABILITY)["psi"]
    for name, one in variables.items():
        figures |= {
            f"data_drift_psi_{name}": one["psi"],
            f"missing_rate_{name}": one["missing_rate"],
        }
    measured = (summary["outcomes"] or {}).get("measured")
    if measured:
        figures |= {name: measured["metrics"].get(name) for name in monitoring_report.FIRST}
    run.log_metrics(figures, CURRENT, model_id)
    run.rename(f"version {leading.model.version}", leading.verdict.word)
    run.describe(leading.verdict.reason)
    run.tag("monitor.verdict", leading.verdict.word)
    run.tag("monitor.reason", leading.verdict.reason)
    run.tag(VERSION_TAG, leading.model.version)


def log_pages(
    run: StepRun,
    values: Monitor,
    monitored: list[versions.Monitored],
    joined: outcomes.Joined | None,
    notes: list[str],
) -> None:
    """Log the result as a page and as JSON."""
    about = {
        "name": values.name,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "days": values.days,
        "notes": notes,
        "outcomes": joined and {
            "given": joined.given, "used": len(joined.patients), "account": joined.account
        },
    }  # fmt: skip
    models = [one.summary for one in monitored]
    run.log_text("monitoring.html", monitoring_report.draw(about, models), copy="reports")
    run.log_text(FIGURES, as_json({**about, "models": models}), copy="reports")
