"""Evaluation: measure a model on every cohort there is, and write it all down."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from matplotlib.figure import Figure
from mlflow.entities import Run

from clinical import archive, hospitals
from clinical.hospitals import Cohort
from clinical.schema import FEATURE_NAMES, LABEL
from risk_model import scoring
from risk_model.stored import read_estimator
from risk_model.wording import MEASURES, between
from steps.modelling import evaluation
from steps.modelling.evaluation import Measured
from steps.parameters.declaration import check
from steps.parameters.entry_points import CHAMPION_URI, MODEL_NAME, Evaluate, Register
from steps.registry import versions as registry
from steps.reports import evaluation_plots, evaluation_report
from steps.runs import lineage
from steps.runs.files import ROOT, as_json, copy_atomically
from steps.runs.launching import launch
from steps.runs.lineage import Lineage
from steps.runs.reuse import data_output, fetch_output
from steps.runs.store import StepError
from steps.runs.terminal import echo
from steps.runs.tracking.finished import finished_run
from steps.runs.tracking.step_run import StepRun
from steps.runs.tracking.tags import SOURCE_TAG

SEED = 42
OWN = {"uci": "cleveland", "synthetic": "synthetic"}
"""What the held-out patients of each data source are called in metrics."""


def evaluate(run: StepRun, values: Evaluate, given: Lineage | None) -> None:
    """Measure the model on every cohort there is, and write it all down."""
    uri = values.model_uri
    model = given or build_champion(run, uri)
    run.tag("heart.model_uri", uri)
    run.tag(SOURCE_TAG, model.source)
    cohorts = measure_given(model, values.data) if values.data else measure_known(model)
    patients, parameters = model.patients, model.facts.get("parameters")
    compared = None
    if patients is not None and parameters and any(c.site == "out_of_fold" for c in cohorts):
        compared = evaluation.calibrations(parameters, patients, SEED)
    mlflow.log_metrics(evaluation.metrics_of(cohorts))
    about = {"uri": uri, "facts": model.facts, "source": model.source}
    account: dict[str, Any] = {
        "model_uri": uri,
        "model": {key: model.facts.get(key) for key in ("name", "run_id", "parameters")},
        "data_source": model.source,
        "cohorts": [{**cohort.found, "notes": cohort.notes} for cohort in cohorts],
        "calibrations": {name: m for name, (_, m) in (compared or {}).items()},
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report = folder / "evaluation.html"
        report.write_text(evaluation_report.draw(about, cohorts, compared))
        figures = folder / "evaluation.json"
        figures.write_text(as_json(account))
        for file in (report, figures):
            run.log_file(file)
            copy_atomically(file, ROOT / "reports" / file.name)
        for picture in draw_pictures(folder, cohorts):
            run.log_file(picture, f"plots/{picture.parent.name}")
    echo(summary(uri, cohorts))


def build_champion(run: StepRun, uri: str) -> Lineage:
    """Register a model first, where there is no champion yet."""
    echo("evaluate: there is no champion yet, so it is built first")
    launch(check(Register, {}), run)
    return lineage.follow(uri)


def measure_known(model: Lineage) -> list[Measured]:
    """Measure on the held-out patients, all patients out of fold, and the other hospitals."""
    held_out = model.held_out
    if held_out is None:
        raise StepError(
            "nobody knows which patients this model has not trained on; name some with data=<file>"
        )
    seed = SEED
    site = OWN.get(model.source, "held_out")
    own = Cohort(site, "Held-out patients", held_out, len(held_out))
    cohorts = [evaluation.measure(own, said(model, own), seed, ["Judged by this very model."])]
    if (rows := model.out_of_fold) is not None:
        whole = Cohort("out_of_fold", "All patients, cross-validated", rows, len(rows))
        note = "Each patient judged by a model that was fitted like this one, without them."
        p = rows["probability"].to_numpy(float)
        cohorts.append(evaluation.measure(whole, p, seed, [note]))
    return cohorts + [measure_elsewhere(model, cohort) for cohort in model.elsewhere]


def measure_elsewhere(model: Lineage, cohort: Cohort) -> Measured:
    """Measure on another hospital; where it lacks much, also the model fitted without that."""
    found = evaluation.measure(cohort, said(model, cohort), SEED)
    if model.patients is not None and cohort.mostly_missing:
        training = model.patients[model.has_seen(model.patients)]
        pipeline = read_estimator(model.folder)
        found.found["refitted"] = evaluation.refitted(pipeline, training, cohort, SEED)
    return found


def measure_given(model: Lineage, data: str) -> list[Measured]:
    """Measure on the patients that the user names, without those that the model has seen."""
    measured = []
    for cohort in read_given(data):
        seen = model.has_seen(cohort.patients)
        rest = cohort.without(seen)
        if rest.patients[LABEL.name].nunique() < len(LABEL.codes):
            echo(f"evaluate: {cohort.title}: the model has trained on these patients; left out")
            continue
        measured.append(evaluation.measure(rest, said(model, rest), SEED, notes(model, cohort)))
    if not measured:
        raise StepError("the model has trained on all of these patients: nothing can be measured")
    return measured


def notes(model: Lineage, cohort: Cohort) -> list[str]:
    """Return what must be said of patients that a user named."""
    if model.training_rows is None:
        return ["Nobody knows whether the model was trained on some of these patients."]
    seen = int(model.has_seen(cohort.patients).sum())
    return [f"{seen} patients that the model was trained on are left out."] * (seen > 0)


def read_given(data: str) -> list[Cohort]:
    """Return the cohorts of a file, or of a download or preprocess run."""
    path = Path(data)
    if not path.is_file():
        run = _run_of(data)
        path = fetch_output(run, data_output(run))
    if cohorts := hospitals.read_cohorts(path):
        return cohorts
    members = archive.open_source(path)
    member = archive.choose_member(members)
    return [hospitals.read_cohort(members[member], member)]


def _run_of(data: str) -> Run:
    try:
        return finished_run(data, "preprocess")
    except StepError:
        return finished_run(data, "download")


def said(model: Lineage, cohort: Cohort) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the model's probabilities for a cohort."""
    return scoring.probabilities(model.folder, cohort.patients[list(FEATURE_NAMES)])


def draw_pictures(folder: Path, cohorts: list[Measured]) -> list[Path]:
    """Draw the pictures of every cohort as PNG files, one folder each."""
    drawn = []
    for cohort in cohorts:
        place_of = folder / cohort.site
        place_of.mkdir()
        pictures = evaluation_plots.drawings(cohort.y, cohort.p, cohort.found["lopsided"])
        for name, (title, draw) in pictures.items():
            figure = Figure(figsize=(6.4, 5.2), layout="constrained")
            axes = figure.add_subplot()
            axes.spines[["top", "right"]].set_visible(False)
            draw(axes, evaluation_plots.ALONE)
            axes.set_title(f"{title}: {cohort.found['title']}")
            drawn.append(place_of / f"{name}.png")
            figure.savefig(drawn[-1], dpi=120)
        if groups := [g for g in cohort.found.get("groups", []) if g["metrics"]]:
            drawn.append(_draw_groups(place_of / "groups.png", cohort, groups))
    return drawn


def _draw_groups(path: Path, cohort: Measured, groups: list[dict[str, Any]]) -> Path:
    figure = Figure(figsize=(9.6, 4.0), layout="constrained")
    everyone = {"group": "all", **{k: cohort.found[k] for k in ("patients", "metrics")}}
    for axes, name in zip(figure.subplots(1, 2), ("roc_auc", "sensitivity"), strict=True):
        axes.spines[["top", "right"]].set_visible(False)
        evaluation_plots.forest(axes, evaluation_plots.ALONE, [everyone, *groups], name)
        axes.set_title(f"{MEASURES[name]} by group")
    figure.savefig(path, dpi=120)
    return path


def summary(uri: str, cohorts: list[Measured]) -> str:
    """Return the figures that matter most, a line for each cohort."""
    head = f"  {'':<44} {'patients':>8}  {'ROC AUC':<22} {'calibration slope':<22} Brier score"
    lines = [
        f"  {c.found['title'][:44]:<44} {c.found['patients']:>8}  "
        + " ".join(
            f"{between(c.found['metrics'], name, 3):<22}"
            for name in ("roc_auc", "calibration_slope", "brier")
        ).rstrip()
        for c in cohorts
    ]
    return "\n".join([f"evaluate: {uri}", head, *lines, "evaluate: see reports/evaluation.html"])


def resolve(values: Evaluate, _experiment_id: str) -> Lineage | None:
    """Find the model, before any run is opened; the champion may still have to be built."""
    uri = values.model_uri
    if uri == CHAMPION_URI and registry.holder(MODEL_NAME, registry.CHAMPION) is None:
        return None
    return lineage.follow(uri)
