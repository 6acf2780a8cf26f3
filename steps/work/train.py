"""Training: fit on the training rows, measure on the held-out ones, log everything."""

from __future__ import annotations

import tempfile
from pathlib import Path

import joblib
import mlflow
import numpy as np
import pandas as pd
from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE
from sklearn.ensemble import StackingClassifier
from sklearn.inspection import permutation_importance

from clinical import copies
from clinical.schema import FEATURE_NAMES, LABEL
from risk_model.card import rendering, wording
from risk_model.flavours import saving
from risk_model.flavours.saving import Contents
from risk_model.layout import METADATA
from risk_model.metadata import Git, Metadata
from steps.modelling import estimators, facts, metrics, onnx_export
from steps.modelling.clinical_metrics import COMPARED
from steps.modelling.estimators import Recipe
from steps.modelling.facts import Training
from steps.modelling.validation import (
    OutOfFold,
    cross_validated,
    refit_ranges,
    require_both_classes,
)
from steps.parameters.entry_points import RECALIBRATED, Train
from steps.reports import plots
from steps.runs import provenance
from steps.runs.files import ROOT, copy_atomically, replacing, sha256
from steps.runs.lineage import Lineage
from steps.runs.terminal import echo
from steps.runs.tracking.datasets import HELD_OUT, PATIENTS, as_dataset, log_dataset
from steps.runs.tracking.finished import artifact_uri
from steps.runs.tracking.step_run import StepRun
from steps.runs.tracking.tags import SOURCE_TAG
from steps.work import updating
from steps.work.patients import read_patients

PERMUTATIONS = 10


def train(run: StepRun, values: Train, given: Run | None) -> None:
    """Fit on the training rows, measure on the held-out ones, log everything."""
    data = read_patients(run, values, given)
    seed = values.random_state
    origin, base = updating.follow(values.base) if values.model == RECALIBRATED else (None, None)
    if origin:
        data = updating.without_seen(data, origin)
        run.tag(SOURCE_TAG, data.source)
        if origin.model_id:
            run.link_model(origin.model_id)
    run.rename(values.model, data.source)
    recipe = updating.recipe(origin) if origin else estimators.from_parameters(values)
    # Not salted with the seed: whatever models are compared, the same patients are held out.
    fitting, held_out = copies.split(data.patients, values.test_size)
    features, labels = estimators.columns(data.patients)
    validated = cross_validated(recipe, features, labels)
    (fitted, diagnosed), (x, y) = estimators.columns(fitting), estimators.columns(held_out)
    require_both_classes(y, values.test_size)
    model = recipe.fit(fitted, diagnosed)
    p = model.predict_proba(x)[:, 1]
    found = validated.measures | metrics.with_intervals(y, p, seed)
    content = onnx_export.convert(model, fitted)
    sure = None
    if isinstance(recipe, Recipe):
        sure = refit_ranges(recipe, features, labels, validated.probabilities, seed)
    done = Training(
        run.run_id, vars(values), data, labels, validated, model, fitted, x, found, sure, base
    )
    git, repository = Git(**provenance.git_state()), provenance.repository()
    metadata = facts.gather(done, content, git, repository)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log_split(run, folder, fitting, held_out, origin)
        log_out_of_fold(run, folder, data.patients, validated)
        losses = permutation_losses(model, x, y, seed)
        for picture in plots.draw_all(folder, y, p, found, losses):
            run.log_file(picture, "plots", copy="plots")
        model_id = log_model(run, folder, done, content, metadata)
    log_figures(run, held_out, metadata, model_id)
    run.describe(wording.described(metadata.measured))
    echo(summary(values.model, metadata))


def log_figures(run: StepRun, held_out: pd.DataFrame, metadata: Metadata, model_id: str) -> None:
    """Log the figures by which models are compared; the model's metadata has all of them."""
    name = "split/held_out.parquet"
    uri, digest = artifact_uri(run.run_id, name), run.outputs[name]
    dataset = as_dataset(held_out, uri=uri, name=HELD_OUT, digest=digest)
    log_dataset(run, dataset, metadata.source)
    validated, checked = metadata.measured.values()
    run.log_metrics({f"cv_{name}": validated[name] for name in COMPARED}, PATIENTS, model_id)
    run.log_metrics({name: checked.get(name) for name in metrics.NAMES}, HELD_OUT, model_id)


def log_split(
    run: StepRun,
    folder: Path,
    fitting: pd.DataFrame,
    held_out: pd.DataFrame,
    origin: Lineage | None = None,
) -> None:
    """Keep the held-out rows, and hashes of the training rows, for a later comparison of models.

    What the `origin` of an update has seen, the update has.
    """
    test = folder / "held_out.parquet"
    held_out.to_parquet(test, index=False)
    rows = folder / "training_rows.parquet"
    hashes = copies.row_hashes(fitting)
    if origin and origin.training_rows is not None:
        hashes = np.concatenate([hashes, origin.training_rows])
    pd.DataFrame({"row_hash": hashes}).to_parquet(rows, index=False)
    for path in (test, rows):
        run.log_file(path, "split")


def log_out_of_fold(
    run: StepRun, folder: Path, patients: pd.DataFrame, validated: OutOfFold
) -> None:
    """Keep what was said of each patient by a model that had not seen them; no patient's values."""
    path = folder / "out_of_fold.parquet"
    pd.DataFrame(
        {
            "row_hash": copies.row_hashes(patients),
            LABEL.name: patients[LABEL.name].to_numpy(np.int8),
            "probability": validated.probabilities,
            "fold": validated.fold.astype(np.int8),
        }
    ).to_parquet(path, index=False)
    run.log_file(path, "split")


def permutation_losses(
    model: StackingClassifier, x: pd.DataFrame, y: metrics.Labels, seed: int
) -> dict[str, list[float]]:
    """Return, by feature, how much ROC AUC each of its permutations costs."""
    found = permutation_importance(
        model, x, y, scoring="roc_auc", n_repeats=PERMUTATIONS, random_state=seed
    )
    return dict(zip(FEATURE_NAMES, found.importances.tolist(), strict=True))


def log_model(
    run: StepRun, folder: Path, done: Training, content: bytes | None, metadata: Metadata
) -> str:
    """Log the model and return its id; keep a working copy, a pickle with its SHA-256 beside it."""
    cards = rendering.write(folder, metadata)
    references = onnx_export.reference_cases(done.model, done.fitted)
    contents = Contents(done.model, content, metadata, references, cards)
    name, about = f"{done.parameters['model']}_model", wording.described(metadata.measured)
    tags = {SOURCE_TAG: done.data.source, MLFLOW_RUN_NOTE: about}
    uri = saving.log(name, contents, provenance.requirements(), tags)
    stored = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))
    run.outputs[uri] = sha256(stored)
    for page in cards:
        run.log_file(page)
    target = ROOT / "models" / "model.pkl"
    with replacing(target) as part:
        joblib.dump(done.model, part)
        digest = sha256(part)
    copy_atomically(stored / METADATA, target.with_name("model.json"))
    with replacing(target.with_name("model.pkl.sha256")) as part:
        part.write_text(f"{digest}  {target.name}\n")
    return uri.removeprefix("models:/")


def summary(model: str, metadata: Metadata) -> str:
    """Return how good the model is: cross-validated, and on the held-out patients as a check."""
    figures = wording.comparison(metadata.measured)
    return "\n".join([f"train: {model}, with 95 % intervals", *figures])
