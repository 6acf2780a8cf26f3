"""Evaluation: measure a model on every cohort there is, and write it all down."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlflow.data.dataset import Dataset
from mlflow.entities import Run

from clinical import archive, hospitals
from clinical.hospitals import TITLES, TRAINING, Cohort
from clinical.schema import FEATURE_NAMES, LABEL
from risk_model.card.wording import MEASURES, between, in_brief
from steps.modelling import evaluation
from steps.modelling.evaluation import Measured
from steps.parameters.declaration import check
from steps.parameters.entry_points import CHAMPION_URI, MODEL_NAME, Evaluate, Register
from steps.registry import versions as registry
from steps.reports import evaluation_report, plots
from steps.runs import lineage
from steps.runs.children import launch
from steps.runs.files import as_json
from steps.runs.lineage import Lineage
from steps.runs.store import StepError
from steps.runs.terminal import echo
from steps.runs.tracking.datasets import HELD_OUT, PATIENTS, as_dataset, log_dataset
from steps.runs.tracking.finished import (
    archive_of,
    artifact_uri,
    data_output,
    fetch_output,
    finished_run,
    outputs,
)
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
    run.rename(model.metadata.name or "model", model.source)
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
    log_figures(run, model, cohorts, values.data)
    about = {"uri": uri, "metadata": model.metadata, "source": model.source}
    account: dict[str, Any] = {
        "model_uri": uri,
        "model": model.metadata.model_dump(include={"name", "run_id", "parameters"}),
        "data_source": model.source,
        "cohorts": [{**cohort.found, "notes": cohort.notes} for cohort in cohorts],
        "calibrations": {name: m for name, (_, m) in (compared or {}).items()},
    }
    report = evaluation_report.draw(about, leading_first(cohorts), SEED, compared)
    run.log_text("evaluation.html", report, copy="reports")
    run.log_text("evaluation.json", as_json(account), copy="reports")
    with tempfile.TemporaryDirectory() as folder:
        for picture in draw_pictures(Path(folder), cohorts):
            run.log_file(picture, f"plots/{picture.parent.name}")
    run.describe(
        "\n".join(
            f"- {one.found['title']}, {len(one.y)} patients: {in_brief(one.found['metrics'])}"
            for one in leading_first(cohorts)
        )
    )
    echo(summary(uri, cohorts))


def log_figures(run: StepRun, model: Lineage, cohorts: list[Measured], data: str) -> None:
    """Log each cohort as an input, and the figures of each by which models are compared.

    As metrics of the run they are called by site; linked to the model they have their plain names
    and the dataset that they are of. The first cohort's are the run's plain ones too, which are
    the last that are logged.
    """
    if model.model_id:
        run.link_model(model.model_id)
    for one in leading_first(cohorts[::-1]):
        dataset = dataset_of(model, one, data)
        log_dataset(run, dataset, model.source)
        by_site = {f"{one.site}_{measure}": value for measure, value in one.compared.items()}
        run.log_metrics(by_site, dataset.name)
        if one.site != OUT_OF_FOLD:
            run.log_metrics(one.compared, dataset.name, model.model_id)


def dataset_of(model: Lineage, one: Measured, data: str) -> Dataset:
    """Return a cohort as a dataset; the model's own patients as `train` has called them.

    Of what a user gave there is no file's digest: patients whom the model has seen are left out.
    """
    name, uri, digest = one.site, data, None
    if data and not Path(data).is_file():
        given = _run_of(data)
        uri = artifact_uri(given.info.run_id, data_output(given))
    elif not data and (known := _known(model, one.site)):
        name, run, output = known
        uri, digest = artifact_uri(run.info.run_id, output), outputs(run).get(output)
    if name == PATIENTS and model.metadata.data:
        digest = model.metadata.data.digest
    patients = one.patients[[*FEATURE_NAMES, LABEL.name]]
    return as_dataset(patients, uri=uri, name=name, digest=digest)


def _known(model: Lineage, site: str) -> tuple[str, Run, str] | None:
    """Return the dataset, the run and the output that hold a cohort of a model's own lineage."""
    if model.prepared and site == OUT_OF_FOLD:
        return PATIENTS, *model.prepared
    archived = archive_of(model.prepared[0]) if model.prepared else None
    if archived and site in TITLES.keys() - {TRAINING}:
        return site, *archived
    return (HELD_OUT, model.trained, "split/held_out.parquet") if model.trained else None


def build_champion(run: StepRun, uri: str) -> Lineage:
    """Register a model first, where there is no champion yet."""
    echo("evaluate: there is no champion yet, so it is built first")
    launch(check(Register, {}), run)
    return lineage.follow(uri)


def measure(model: Lineage, cohort: Cohort, notes: Sequence[str] = ()) -> Measured:
    """Measure a model on patients whom it has not seen."""
    p = model.model.probabilities(cohort.patients)
    return evaluation.measure(cohort, p, SEED, notes)


def measure_known(model: Lineage) -> list[Measured]:
    """Measure on the held-out patients, all patients out of fold, and the other hospitals."""
    held_out = model.held_out
    if held_out is None:
        raise StepError(
            "the tracking store does not say which patients were held out from this model's "
            "training, so that there is nobody to measure it on"
        )
    site = OWN.get(model.source, "held_out")
    own = Cohort(site, "Held-out patients", held_out, len(held_out))
    check = "A check, of few patients: the model as it is served, on those that it has not seen."
    cohorts = [measure(model, own, [check])]
    if (rows := model.out_of_fold) is not None:
        whole = Cohort(OUT_OF_FOLD, "All patients, cross-validated", rows, len(rows))
        note = "Each patient judged by a model fitted like this one that had not seen them."
        p = rows["probability"].to_numpy(float)
        cohorts.append(evaluation.measure(whole, p, SEED, [note]))
    return cohorts + [measure_elsewhere(model, cohort) for cohort in model.elsewhere]


def measure_elsewhere(model: Lineage, cohort: Cohort) -> Measured:
    """Measure on another hospital; where it lacks much, also the model fitted without that."""
    found = measure(model, cohort)
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
        note = f"{seen.sum()} patients that the model was trained on are left out."
        measured.append(measure(model, rest, [note] if seen.any() else []))
    if not measured:
        raise StepError("the model has trained on all of these patients: nothing can be measured")
    return measured


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
        f"  {c.found['title']:<43} {c.found['patients']:>8}  "
        + " ".join(f"{between(c.found['metrics'], name):<22}" for name in names).rstrip()
        for c in leading_first(cohorts)
    ]
    return "\n".join(
        [
            f"evaluate: {uri}, with 95 % intervals",
            f"  {'':<43} {'patients':>8}  {head}".rstrip(),
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
