"""Training: fit on the training rows, measure on the held-out ones, log everything."""

import tempfile
from pathlib import Path

from mlflow.entities import Run

from risk_model.card import wording
from risk_model.metadata import Git, Metadata
from steps.modelling import clinical_metrics, estimators, metrics, onnx_export, training
from steps.modelling.model_metadata import gather
from steps.parameters.entry_points import RECALIBRATED, Train
from steps.reports import plots
from steps.runs import provenance
from steps.runs.launching import named_input
from steps.runs.terminal import echo
from steps.runs.tracking.datasets import HELD_OUT, PATIENTS
from steps.runs.tracking.step_run import StepRun, Work
from steps.runs.tracking.tags import SOURCE_TAG
from steps.work.training import model, reading, split, updating


def train(run: StepRun, values: Train, given: Run | None) -> None:
    """Fit on the training rows, measure on the held-out ones, log everything."""
    data = reading.read_patients(run, values, given)
    origin, base = updating.follow(values.base) if values.model == RECALIBRATED else (None, None)
    if origin:
        data = updating.without_seen(data, origin)
        run.tag(SOURCE_TAG, data.source)
        if origin.model_id:
            run.link_model(origin.model_id)
    run.rename(values.model, data.source)
    recipe = updating.recipe(origin) if origin else estimators.from_parameters(values)
    trained = training.fit(recipe, values, data)
    content = onnx_export.convert(trained.model, trained.features)
    metadata = gather(trained, content).model_copy(
        update={
            "run_id": run.run_id,
            "base": base,
            "git": Git(**provenance.git_state()),
            "repository": provenance.repository(),
        }
    )
    split.log_split(run, trained, origin.training_rows if origin else None)
    log_pictures(run, trained)
    log_figures(run, metadata, model.log_model(run, trained, content, metadata))
    run.describe(wording.described(metadata.measured))
    figures = wording.comparison(metadata.measured)
    echo("\n".join([f"train: {values.model}, with 95 % intervals", *figures]))


def log_pictures(run: StepRun, trained: training.Training) -> None:
    """Log the pictures of the probabilities of the held-out patients."""
    x, y = estimators.columns(trained.held_out)
    p, losses = trained.model.predict_proba(x)[:, 1], trained.permutation_losses()
    with tempfile.TemporaryDirectory() as folder:
        for picture in plots.draw_all(Path(folder), y, p, trained.measures, losses):
            run.log_file(picture, "plots", copy="plots")


def log_figures(run: StepRun, metadata: Metadata, model_id: str) -> None:
    """Log the figures by which models are compared; the model's metadata has all of them."""
    validated, checked = metadata.measured.values()
    compared = {f"cv_{name}": validated[name] for name in clinical_metrics.COMPARED}
    run.log_metrics(compared, PATIENTS, model_id)
    run.log_metrics({name: checked.get(name) for name in metrics.NAMES}, HELD_OUT, model_id)


WORK = Work(train, named_input)
