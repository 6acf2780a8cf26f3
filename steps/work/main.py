"""The whole pipeline: run the four steps in turn, and say what came out."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_SOURCE_NAME

from risk_model.card import wording
from risk_model.locations import file_path, sqlite_path
from steps.parameters.declaration import select
from steps.parameters.entry_points import (
    RECALIBRATED,
    Download,
    Main,
    Preprocess,
    Register,
    Train,
)
from steps.parameters.uris import redact_credentials
from steps.registry import versions as registry
from steps.runs import lineage
from steps.runs.files import ROOT
from steps.runs.launching import run_or_reuse
from steps.runs.store import StepError
from steps.runs.terminal import echo
from steps.runs.tracking.step_run import StepRun
from steps.runs.tracking.tags import SOURCE_TAG


def run_all(run: StepRun, values: Main, _: object) -> None:
    """Run the four steps in turn; what a finished run has done already is reused."""

    def do(entry: type, **own: str) -> Run:
        return run_or_reuse(select(entry, vars(values), **own), run, values.cache)

    if values.model == RECALIBRATED:
        # It learns from the further patients alone.
        prepared = do(Preprocess, data=values.extra, extra="")
    else:
        prepared = do(Preprocess, data=do(Download).info.run_id)
    trained = do(Train, data=prepared.info.run_id)
    do(Register, run_id=trained.info.run_id)
    source = trained.data.tags[SOURCE_TAG]
    run.rename(values.model, source)
    run.tag(SOURCE_TAG, source)
    run.log_metrics(trained.data.metrics)
    project = MlflowClient().get_run(run.run_id).data.tags.get(MLFLOW_SOURCE_NAME, "")
    measured = lineage.follow(registry.model_uri(trained)).metadata.measured
    run.describe(wording.described(measured))
    echo(summary(trained, wording.comparison(measured), values.name, project))


def summary(trained: Run, figures: Sequence[str], name: str, project: str) -> str:
    """Return what came out, and what to do with it."""
    version = registry.version_of(name, trained.info.run_id)
    aliases = ", ".join(registry.aliases(name, version)) if version else ""
    number = version.version if version else "-"
    return "\n".join(
        [
            "",
            f"{trained.data.params['model']}, data.source={trained.data.tags[SOURCE_TAG]}, "
            "with 95 % intervals:",
            *figures,
            f"{name} version {number}, alias: {aliases or 'none'}",
            "",
            f"Look:   {how_to_look(mlflow.get_tracking_uri())}",
            f"Serve:  {how_to_serve(project)}",
        ]
    )


def how_to_look(uri: str) -> str:
    """Return how a person sees the runs of a tracking store."""
    if uri.startswith("http"):
        return f"open {redact_credentials(uri)}"
    if sqlite_path(uri) == ROOT / "mlflow.db":
        return "mlflow ui, then http://localhost:5000"
    store = shlex.quote(redact_credentials(uri))
    return f"mlflow ui --backend-store-uri {store}, then http://localhost:5000"


def how_to_serve(project: str) -> str:
    """Return how a person serves the model, from where they have run the project of this name."""
    folder = file_path(project)
    if folder is None or not folder.exists():
        # The clone that the steps run in is MLflow's, and will be gone.
        url = shlex.quote(redact_credentials(project))
        return f"mlflow run {url} -e serve --env-manager local"
    return "gunicorn -c serving/gunicorn.conf.py"


def resolve(values: Main, _experiment_id: str) -> None:
    """Check, before any work, that its result can be registered."""
    registry.check_name(values.name)
    if values.model == RECALIBRATED and not values.extra:
        raise StepError(
            f"model={RECALIBRATED} needs extra=<file>: patients whose outcome is known, such as "
            "`labelled` of monitor"
        )
