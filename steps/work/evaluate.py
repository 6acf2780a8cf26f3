"""Evaluation: measure a model on every cohort there is, and write it all down."""

import tempfile
from pathlib import Path

from risk_model.card.wording import MEASURES, between, in_brief
from steps.modelling import evaluation
from steps.parameters.declaration import check
from steps.parameters.entry_points import CHAMPION_URI, MODEL_NAME, Evaluate, Register
from steps.registry import versions as registry
from steps.reports import evaluation_report, plots
from steps.runs import files, lineage
from steps.runs.children import launch
from steps.runs.terminal import echo
from steps.runs.tracking.step_run import StepRun, Work
from steps.runs.tracking.tags import SOURCE_TAG
from steps.work import cohorts


def evaluate(run: StepRun, values: Evaluate, given: lineage.Lineage | None) -> None:
    """Measure the model on every cohort there is, and write it all down."""
    uri = values.model_uri
    if given is None:
        echo("evaluate: there is no champion yet, so it is built first")
        launch(check(Register, {}), run)
    model = given or lineage.follow(uri)
    run.rename(model.metadata.name or "model", model.source)
    run.tag("heart.model_uri", uri)
    run.tag(SOURCE_TAG, model.source)
    if values.data:
        measured = cohorts.measure_given(model, values.data, values.coding)
    else:
        measured = cohorts.measure_own(model)
    leading, parameters = leading_first(measured), model.metadata.parameters
    calibrations = None
    if model.patients is not None and parameters and leading[0].site == cohorts.OUT_OF_FOLD:
        calibrations = evaluation.calibrations(parameters, model.patients, cohorts.SEED)
    log_figures(run, model, measured, values.data)
    about = {"uri": uri, "metadata": model.metadata, "source": model.source}
    account = {
        "model_uri": uri,
        "model": model.metadata.model_dump(include={"name", "run_id", "parameters"}),
        "data_source": model.source,
        "cohorts": [{**cohort.summary, "notes": cohort.notes} for cohort in measured],
        "calibrations": {name: m for name, (_, m) in (calibrations or {}).items()},
    }
    report = evaluation_report.draw(about, leading, cohorts.SEED, calibrations)
    run.log_text("evaluation.html", report, copy="reports")
    run.log_text("evaluation.json", files.as_json(account), copy="reports")
    for cohort in measured:
        log_pictures(run, cohort)
    lines = [
        f"- {one.summary['title']}, {len(one.y)} patients: {in_brief(one.summary['metrics'])}"
        for one in leading
    ]
    run.describe("\n".join(lines))
    echo(summary(uri, measured))


def log_figures(
    run: StepRun, model: lineage.Lineage, measured: list[evaluation.Measured], data: str
) -> None:
    """Log each cohort as an input, and the figures of each by which models are compared.

    As metrics of the run they are called by site; linked to the model they have their plain names
    and the dataset that they are of. The first cohort's are the run's plain ones too, which are
    the last that are logged.
    """
    if model.model_id:
        run.link_model(model.model_id)
    for one in leading_first(measured[::-1]):
        dataset = cohorts.log_dataset(run, model, one, data)
        by_site = {f"{one.site}_{measure}": value for measure, value in one.compared.items()}
        run.log_metrics(by_site, dataset)
        if one.site != cohorts.OUT_OF_FOLD:
            run.log_metrics(one.compared, dataset, model.model_id)


def log_pictures(run: StepRun, cohort: evaluation.Measured) -> None:
    """Log the pictures of a cohort as PNG files, in a folder of their own."""
    with tempfile.TemporaryDirectory() as folder:
        for name, (title, draw) in plots.of_cohort(cohort, cohorts.SEED).items():
            path = Path(folder, f"{name}.png")
            plots.save(path, f"{title}: {cohort.summary['title']}", draw)
            run.log_file(path, f"plots/{cohort.site}")


def leading_first(measured: list[evaluation.Measured]) -> list[evaluation.Measured]:
    """Return the cohorts with the cross-validated patients, the largest, first."""
    return sorted(measured, key=lambda cohort: cohort.site != cohorts.OUT_OF_FOLD)


def summary(uri: str, measured: list[evaluation.Measured]) -> str:
    """Return the figures that matter most, a line for each cohort."""
    names = ("roc_auc", "observed_expected", "brier")
    head = " ".join(f"{MEASURES[name]:<22}" for name in names)
    lines = [
        f"  {c.summary['title']:<43} {c.summary['patients']:>8}  "
        + " ".join(f"{between(c.summary['metrics'], name):<22}" for name in names).rstrip()
        for c in leading_first(measured)
    ]
    return "\n".join(
        [
            f"evaluate: {uri}, with 95 % intervals",
            f"  {'':<43} {'patients':>8}  {head}".rstrip(),
            *lines,
            "evaluate: see reports/evaluation.html",
        ]
    )


def resolve(values: Evaluate, _experiment_id: str) -> lineage.Lineage | None:
    """Find the model, before any run is opened; the champion may still have to be built."""
    uri = values.model_uri
    if uri == CHAMPION_URI and registry.holder(MODEL_NAME, registry.CHAMPION) is None:
        return None
    return lineage.follow(uri)


WORK = Work(evaluate, resolve)
