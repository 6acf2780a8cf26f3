"""Download, preprocess, train and register, each in a run of its own below this one."""

from __future__ import annotations

import shlex
import sys

import mlflow
from mlflow.entities import Run

from risk_model.card import wording
from risk_model.locations import sqlite_path
from steps.modelling.metrics import NAMES
from steps.registry import versions as registry
from steps.runs.files import ROOT
from steps.runs.launching import ensure
from steps.runs.parameters import shown
from steps.runs.running import Values, run_step
from steps.runs.tracking import SOURCE_TAG, StepRun, say


def run_all(run: StepRun, values: Values, _: None) -> None:
    """Run the four steps in turn; what a finished run has done already is reused."""
    cache = bool(values["cache"])
    downloaded = ensure("download", values, run, cache)
    prepared = ensure("preprocess", {**values, "data": downloaded.info.run_id}, run, cache)
    trained = ensure("train", {**values, "data": prepared.info.run_id}, run, cache)
    chosen = {name: values[name] for name in ("name", "promote")}
    ensure("register", {"run_id": trained.info.run_id, **chosen}, run)
    source = trained.data.tags[SOURCE_TAG]
    run.tag(SOURCE_TAG, source)
    mlflow.log_metrics({name: trained.data.metrics[name] for name in NAMES})
    say(summary(trained, source, str(values["name"])))


def summary(trained: Run, source: str, name: str) -> str:
    """Return what came out, and what to do with it."""
    found = trained.data.metrics
    validated = {k.removeprefix("oof_"): v for k, v in found.items() if k.startswith("oof_")}
    figures = wording.comparison({"cross-validated": validated, "held out": found})
    version = registry.version_of(name, trained.info.run_id)
    aliases = ", ".join(registry.aliases(name, version)) if version else ""
    number = version.version if version else "-"
    return "\n".join(
        [
            "",
            f"{trained.data.params['model']}, data.source={source}, with 95 % intervals:",
            *figures,
            f"{name} version {number}, alias: {aliases or 'none'}",
            "",
            f"Look:   {how_to_look(mlflow.get_tracking_uri())}",
            "Serve:  gunicorn -c serving/gunicorn.conf.py",
        ]
    )


def how_to_look(uri: str) -> str:
    """Return how a person sees the runs of a tracking store."""
    if uri.startswith("http"):
        return f"open {shown(uri)}"
    if sqlite_path(uri) == ROOT / "mlflow.db":
        return "mlflow ui, then http://localhost:5000"
    return f"mlflow ui --backend-store-uri {shlex.quote(shown(uri))}, then http://localhost:5000"


def resolve(values: Values, _experiment_id: str) -> None:
    """Check, before any work, that its result can be registered."""
    registry.check_name(str(values["name"]))


def main() -> int:
    """Run the step from the command line."""
    return run_step("main", run_all, resolve=resolve)


if __name__ == "__main__":
    sys.exit(main())
