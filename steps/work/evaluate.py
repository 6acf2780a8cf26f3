"""Evaluation: measure a model on every cohort there is, and write it all down."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.entities import Run

from clinical import archive, hospitals
from clinical.hospitals import Cohort
from clinical.schema import LABEL
from risk_model.card.wording import MEASURES, between
from steps.modelling import evaluation
from steps.modelling.evaluation import Measured
from steps.parameters.declaration import check
from steps.parameters.entry_points import CHAMPION_URI, MODEL_NAME, Evaluate, Register
from steps.registry import versions as registry
from steps.reports import evaluation_report, plots
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
OUT_OF_FOLD = "cv"
"""What all patients, out of fold, are called in metrics: as `train` calls them."""
OWN = {"uci": "cleveland", "synthetic": "synthetic"}
"""What the held-out patients of each data source are called in metrics."""


def evaluate(run: StepRun, values: Evaluate, given: Lineage | None) -> None:
    """Measure the model on every cohort there is, and write it all down."""
    uri = values.model_uri
    model = given or build_champion(run, uri)
    run.tag("heart.model_uri", uri)
    run.tag(SOURCE_TAG, model.source)
    if values.data:
        cohorts = measure_given(model, values.data, values.coding)
    else:
        cohorts = measure_known(model)
    patients, parameters = model.patients, model.metadata.parameters
    compared = None
    if patients is not None and parameters and any(c.site == OUT_OF_FOLD for c in cohorts):
        compared = evaluation.calibrations(parameters, patients, SEED)
    mlflow.log_metrics(evaluation.metrics_of(cohorts))
    about = {"uri": uri, "metadata": model.metadata, "source": model.source}
    account: dict[str, Any] = {
        "model_uri": uri,
        "model": model.metadata.model_dump(include={"name", "run_id", "parameters"}),
        "data_source": model.source,
        "cohorts": [{**cohort.found, "notes": cohort.notes} for cohort in cohorts],
        "calibrations": {name: m for name, (_, m) in (compared or {}).items()},
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report = folder / "evaluation.html"
        report.write_text(evaluation_report.draw(about, leading_first(cohorts), SEED, compared))
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
            "the tracking store does not say which patients were held out from this model's "
            "training, so that there is nobody to measure it on"
        )
    seed = SEED
    site = OWN.get(model.source, "held_out")
    own = Cohort(site, "Held-out patients", held_out, len(held_out))
    check = "A check, of few patients: the model as it is served, on those that it has not seen."
    cohorts = [evaluation.measure(own, said(model, own), seed, [check])]
    if (rows := model.out_of_fold) is not None:
        whole = Cohort(OUT_OF_FOLD, "All patients, cross-validated", rows, len(rows))
        note = "Each patient judged by a model fitted like this one that had not seen them."
        p = rows["probability"].to_numpy(float)
        cohorts.append(evaluation.measure(whole, p, seed, [note]))
    return cohorts + [measure_elsewhere(model, cohort) for cohort in model.elsewhere]


def measure_elsewhere(model: Lineage, cohort: Cohort) -> Measured:
    """Measure on another hospital; where it lacks much, also the model fitted without that."""
    found = evaluation.measure(cohort, said(model, cohort), SEED)
    parameters = model.metadata.parameters
    if model.training is not None and parameters and cohort.mostly_missing:
        found.found["refitted"] = evaluation.refitted(parameters, model.training, cohort, SEED)
    return found


def measure_given(model: Lineage, data: str, coding: str) -> list[Measured]:
    """Measure on the patients that the user names, without those that the model has seen."""
    measured = []
    for cohort in read_given(data, coding):
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
    seen = int(model.has_seen(cohort.patients).sum())
    return [f"{seen} patients that the model was trained on are left out."] if seen else []


def read_given(data: str, coding: str) -> list[Cohort]:
    """Return the cohorts of a file, or of a download or preprocess run."""
    path = Path(data)
    if not path.is_file():
        run = _run_of(data)
        path = fetch_output(run, data_output(run))
    if cohorts := hospitals.read_cohorts(path, coding):
        return cohorts
    members = archive.open_source(path)
    member = archive.choose_member(members)
    return [hospitals.read_cohort(members[member], member, coding)]


def _run_of(data: str) -> Run:
    try:
        return finished_run(data, "preprocess")
    except StepError:
        return finished_run(data, "download")


def said(model: Lineage, cohort: Cohort) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the model's probabilities for a cohort."""
    return model.model.probabilities(cohort.patients)


def draw_pictures(folder: Path, cohorts: list[Measured]) -> list[Path]:
    """Draw the pictures of every cohort as PNG files, one folder each."""
    drawn = []
    for cohort in cohorts:
        place_of = folder / cohort.site
        place_of.mkdir()
        pictures = plots.of_cohort(cohort.y, cohort.p, SEED, lopsided=cohort.found["lopsided"])
        drawn += [
            plots.save(place_of / f"{name}.png", f"{title}: {cohort.found['title']}", draw)
            for name, (title, draw) in pictures.items()
        ]
    return drawn


def leading_first(cohorts: list[Measured]) -> list[Measured]:
    """Return the cohorts with the cross-validated patients first, of whom there are most."""
    return sorted(cohorts, key=lambda cohort: cohort.site != OUT_OF_FOLD)


def summary(uri: str, cohorts: list[Measured]) -> str:
    """Return the figures that matter most, a line for each cohort."""
    names = ("roc_auc", "observed_expected", "brier")
    head = " ".join(f"{MEASURES[name]:<22}" for name in names)
    lines = [
        f"  {c.found['title'][:42]:<42} {c.found['patients']:>8}  "
        + " ".join(f"{between(c.found['metrics'], name):<22}" for name in names).rstrip()
        for c in leading_first(cohorts)
    ]
    return "\n".join(
        [
            f"evaluate: {uri}, with 95 % intervals",
            f"  {'':<42} {'patients':>8}  {head}".rstrip(),
            *lines,
            "evaluate: see reports/evaluation.html",
        ]
    )


def resolve(values: Evaluate, _experiment_id: str) -> Lineage | None:
    """Find the model, before any run is opened; the champion may still have to be built."""
    uri = values.model_uri
    if uri == CHAMPION_URI and registry.holder(MODEL_NAME, registry.CHAMPION) is None:
        return None
    return lineage.follow(uri)
