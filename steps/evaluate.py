"""Measure a model as a clinical reviewer would, on patients that it has not trained on."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from matplotlib.figure import Figure
from mlflow.entities import Run

from clinical import archive, hospitals
from clinical.hospitals import Cohort
from clinical.schema import LABEL
from risk_model.wording import MEASURES, between
from steps.modelling import evaluation
from steps.modelling.evaluation import Measured
from steps.registry import versions as registry
from steps.reports import evaluation_plots, evaluation_report
from steps.runs import lineage
from steps.runs.files import ROOT, as_json, place
from steps.runs.launching import launch
from steps.runs.lineage import Lineage
from steps.runs.parameters import ENTRY_POINTS, MODEL_NAME
from steps.runs.reuse import data_output, fetch_output
from steps.runs.running import Values, run_step
from steps.runs.store import StepError
from steps.runs.tracking import SOURCE_TAG, StepRun, say, step_of

SEED = 42
OWN = {"uci": "cleveland", "synthetic": "synthetic"}
"""What the held-out patients of each data source are called in metrics."""

CHAMPION = next(p.default for p in ENTRY_POINTS["evaluate"] if p.name == "model_uri")


def evaluate(run: StepRun, values: Values, given: Lineage | None) -> None:
    """Measure the model on every cohort there is, and write it all down."""
    uri = str(values["model_uri"])
    model = given or build_champion(run, uri)
    run.tag("heart.model_uri", uri)
    run.tag(SOURCE_TAG, model.source)
    data = str(values["data"])
    cohorts = measure_given(model, data) if data else measure_known(model)
    patients, parameters = model.patients, model.metadata.parameters
    compared = None
    if patients is not None and parameters and any(c.site == "out_of_fold" for c in cohorts):
        compared = evaluation.calibrations(parameters, patients, SEED)
    mlflow.log_metrics(evaluation.metrics_of(cohorts))
    about = {"uri": uri, "facts": model.metadata.as_dict(), "source": model.source}
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
        report.write_text(evaluation_report.draw(about, cohorts, compared))
        figures = folder / "evaluation.json"
        figures.write_text(as_json(account))
        for file in (report, figures):
            run.log_file(file)
            place(file, ROOT / "reports" / file.name)
        for picture in draw_pictures(folder, cohorts):
            run.log_file(picture, f"plots/{picture.parent.name}")
    say(summary(uri, cohorts))


def build_champion(run: StepRun, uri: str) -> Lineage:
    """Register a model first, where there is no champion yet."""
    say("evaluate: there is no champion yet, so it is built first")
    launch("register", {}, run)
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
    parameters = model.metadata.parameters
    if model.patients is not None and parameters and cohort.mostly_missing:
        training = model.patients[model.has_seen(model.patients)]
        found.found["refitted"] = evaluation.refitted(parameters, training, cohort, SEED)
    return found


def measure_given(model: Lineage, data: str) -> list[Measured]:
    """Measure on the patients that the user names, without those that the model has seen."""
    measured = []
    for cohort in read_given(data):
        seen = model.has_seen(cohort.patients)
        rest = cohort.without(seen)
        if rest.patients[LABEL.name].nunique() < len(LABEL.codes):
            say(f"evaluate: {cohort.title}: the model has trained on these patients; left out")
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
        return step_of(data, "preprocess")
    except StepError:
        return step_of(data, "download")


def said(model: Lineage, cohort: Cohort) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the model's probabilities for a cohort."""
    return model.model.probabilities(cohort.patients)


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


def resolve(values: Values, _experiment_id: str) -> Lineage | None:
    """Find the model, before any run is opened; the champion may still have to be built."""
    uri = str(values["model_uri"])
    if uri == CHAMPION and registry.holder(MODEL_NAME, registry.CHAMPION) is None:
        return None
    return lineage.follow(uri)


def main() -> int:
    """Run the step from the command line."""
    return run_step("evaluate", evaluate, resolve=resolve)


if __name__ == "__main__":
    sys.exit(main())
