"""The cohorts of patients that a model can be measured on, and how it does on each."""

from pathlib import Path

from mlflow.entities import Run

from clinical import hospitals
from clinical.hospitals import Cohort
from clinical.schema import FEATURE_NAMES, LABEL
from steps.modelling import evaluation
from steps.runs.lineage import Lineage
from steps.runs.store import StepError
from steps.runs.terminal import echo
from steps.runs.tracking import datasets, finished
from steps.runs.tracking.step_run import StepRun
from steps.work.patients import HELD_OUT_FILE, open_member

SEED = 42
OUT_OF_FOLD = "cv"
"""What all patients, out of fold, are called in metrics: as `train` calls them."""
OWN = {"uci": "cleveland", "synthetic": "synthetic"}
"""What the held-out patients of each data source are called in metrics."""


def measure(model: Lineage, cohort: Cohort, note: str = "") -> evaluation.Measured:
    """Measure a model on patients that it has not seen."""
    p = model.model.probabilities(cohort.patients)
    return evaluation.measure(cohort, p, SEED, note)


def measure_own(model: Lineage) -> list[evaluation.Measured]:
    """Measure a model on its held-out patients, all out of fold, and the other hospitals."""
    held_out = model.held_out
    if held_out is None:
        raise StepError(
            "the tracking store does not say which patients were held out from this model's "
            "training, so that there is nobody to measure it on"
        )
    site = OWN.get(model.source, "held_out")
    own = Cohort(site, "Held-out patients", held_out, len(held_out))
    check = "A check, of few patients: the model as it is served, on those that it has not seen."
    cohorts = [measure(model, own, check)]
    if (rows := model.out_of_fold) is not None:
        whole = Cohort(OUT_OF_FOLD, "All patients, cross-validated", rows, len(rows))
        note = "Each patient judged by a model fitted like this one that had not seen them."
        p = rows["probability"].to_numpy(float)
        cohorts.append(evaluation.measure(whole, p, SEED, note))
    return cohorts + [measure_elsewhere(model, cohort) for cohort in model.elsewhere]


def measure_elsewhere(model: Lineage, cohort: Cohort) -> evaluation.Measured:
    """Measure on another hospital; where it lacks much, also the model fitted without that."""
    measured = measure(model, cohort)
    parameters = model.metadata.parameters
    if model.training is not None and parameters and cohort.mostly_missing:
        measured.summary["refitted"] = evaluation.refitted(parameters, model.training, cohort, SEED)
    return measured


def measure_given(model: Lineage, data: str, coding: str) -> list[evaluation.Measured]:
    """Measure on the patients that the user names, without those that the model has seen."""
    measured = []
    for cohort in read_given(data, coding):
        seen = model.has_seen(cohort.patients)
        rest = cohort.without(seen)
        if rest.patients[LABEL.name].nunique() < len(LABEL.codes):
            echo(f"evaluate: {cohort.title}: the model has trained on these patients; left out")
            continue
        note = f"{seen.sum()} patients that the model was trained on are left out."
        measured.append(measure(model, rest, note if seen.any() else ""))
    if not measured:
        raise StepError("the model has trained on all of these patients: nothing can be measured")
    return measured


def read_given(data: str, coding: str) -> list[Cohort]:
    """Return the cohorts of a file, or of a download or preprocess run."""
    path = Path(data)
    if not path.is_file():
        run = _run_of(data)
        path = finished.fetch_output(run, finished.data_output(run))
    cohorts = hospitals.read_cohorts(path, coding)
    return cohorts or [hospitals.read_cohort(*open_member(path), coding)]


def _run_of(data: str) -> Run:
    try:
        return finished.finished_run(data, "preprocess")
    except StepError:
        return finished.finished_run(data, "download")


def log_dataset(run: StepRun, model: Lineage, one: evaluation.Measured, data: str) -> str:
    """Log a cohort as a dataset, and return its name: the model's own patients as `train` does.

    A user's file has no digest here: patients that the model has seen are left out.
    """
    name, uri, digest = one.site, data, None
    if data and not Path(data).is_file():
        given = _run_of(data)
        uri = finished.artifact_uri(given.info.run_id, finished.data_output(given))
    elif not data and (recorded := _stored_dataset(model, one.site)):
        name, kept_by, output = recorded
        uri = finished.artifact_uri(kept_by.info.run_id, output)
        digest = finished.outputs(kept_by).get(output)
    if name == datasets.PATIENTS and model.metadata.data:
        digest = model.metadata.data.digest
    patients = one.patients[[*FEATURE_NAMES, LABEL.name]]
    dataset = datasets.as_dataset(patients, uri=uri, name=name, digest=digest)
    datasets.log_dataset(run, dataset, model.source)
    return name


def _stored_dataset(model: Lineage, site: str) -> tuple[str, Run, str] | None:
    """Return the dataset, the run and the output that hold a cohort of a model's own lineage."""
    if model.prepared and site == OUT_OF_FOLD:
        return datasets.PATIENTS, *model.prepared
    archived = finished.archive_of(model.prepared[0]) if model.prepared else None
    if archived and site in hospitals.TITLES.keys() - {hospitals.TRAINING}:
        return site, *archived
    return (datasets.HELD_OUT, model.trained, HELD_OUT_FILE) if model.trained else None
