"""Train a model on prepared patients, measure it honestly, and log it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import joblib
import mlflow
import numpy as np
import pandas as pd
from mlflow.entities import Run
from sklearn.ensemble import StackingClassifier
from sklearn.inspection import permutation_importance

from clinical import copies
from clinical.codings.definitions import AUTO, CANONICAL
from clinical.hospitals import Cohort
from clinical.preparation import prepare
from clinical.schema import FEATURE_NAMES, LABEL
from risk_model.flavours import saving
from risk_model.flavours.saving import Contents
from risk_model.layout import METADATA
from risk_model.metadata import Git, Metadata
from steps.modelling import assessment, estimators, facts, metrics, onnx_export
from steps.modelling.estimators import Recipe
from steps.modelling.facts import Input, Training
from steps.modelling.validation import OutOfFold, cross_validated, require_both_classes
from steps.reports import card, plots
from steps.runs import provenance
from steps.runs.files import ROOT, place, replacing, sha256
from steps.runs.launching import input_run
from steps.runs.lineage import other_hospitals
from steps.runs.reuse import data_output, fetch_output, work_key
from steps.runs.running import Values, run_step
from steps.runs.tracking import (
    INPUT_TAG,
    KEY_TAG,
    SOURCE_TAG,
    StepRun,
    artifact_uri,
    latest_or_named,
    log_dataset,
    say,
)

PERMUTATIONS = 10


def train(run: StepRun, values: Values, given: Run | None) -> None:
    """Fit on the training rows, measure on the held-out ones, log everything."""
    data = read_patients(run, values, given)
    seed = int(values["random_state"])
    # Not salted with the seed: whatever models are compared, the same patients are held out.
    fitting, held_out = copies.split(data.patients, float(values["test_size"]))
    recipe = build(values)
    features, labels = columns(data.patients)
    validated = cross_validated(recipe, features, labels)
    (fitted, diagnosed), (x, y) = columns(fitting), columns(held_out)
    require_both_classes(y, float(values["test_size"]))
    model = recipe.fit(fitted, diagnosed)
    p = model.predict_proba(x)[:, 1]
    found = validated.measures | metrics.with_intervals(y, p, seed)
    content = onnx_export.convert(model, fitted)
    done = Training(run.run_id, values, data, labels, validated, model, fitted, x, found)
    git, repository = Git(**provenance.git_state()), provenance.repository()
    metadata = facts.gather(done, content, git, repository)
    mlflow.log_metrics(found | assessment.flattened(metadata.as_dict()["out_of_fold"]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log_split(run, folder, fitting, held_out)
        log_out_of_fold(run, folder, data.patients, validated)
        losses = permutation_losses(model, x, y, seed)
        for picture in plots.draw_all(folder, y, p, found, losses):
            run.log_file(picture, "plots")
            place(picture, ROOT / "plots" / picture.name)
        log_model(run, folder, done, content, metadata)
    say(summary(str(values["model"]), found))


def build(values: Values) -> Recipe:
    """Return the unfitted model that the parameters describe."""
    return estimators.build(
        str(values["model"]),
        **{
            name: int(values[name])
            for name in ("n_estimators", "max_depth", "min_samples_leaf", "random_state")
        },
        C=float(values["C"]),
        calibration=str(values["calibration"]),
    )


def columns(patients: pd.DataFrame) -> tuple[pd.DataFrame, metrics.Labels]:
    """Return features and labels of a prepared frame."""
    return patients[list(FEATURE_NAMES)], patients[LABEL.name].to_numpy(np.int8)


def read_patients(run: StepRun, values: Values, given: Run | None, step: str = "train") -> Input:
    """Return the prepared patients and what is known of them; note it on the run of a step."""
    elsewhere: list[Cohort] = []
    coding = AUTO
    if given is None and values["data"]:
        data = uri = str(values["data"])
        file, source = Path(data), "file"
    else:
        before = given or input_run(step, run.experiment_id, run)
        data, source = before.info.run_id, before.data.tags[SOURCE_TAG]
        run.tag(INPUT_TAG, data)
        file, uri = (
            fetch_output(before, data_output(before)),
            artifact_uri(data, data_output(before)),
        )
        elsewhere, coding = other_hospitals(before), CANONICAL.name
    run.tag(SOURCE_TAG, source)
    run.tag(KEY_TAG, work_key(step, {**values, "data": data}) or "")
    patients, digest = prepare(file, file.name, coding).frame, sha256(file)
    log_dataset(run, patients, uri=uri, digest=digest, source=source)
    return Input(patients, data, source, digest, elsewhere)


def log_split(run: StepRun, folder: Path, fitting: pd.DataFrame, held_out: pd.DataFrame) -> None:
    """Keep the held-out rows, and hashes of the training rows, for a later comparison of models."""
    test = folder / "held_out.parquet"
    held_out.to_parquet(test, index=False)
    rows = folder / "training_rows.parquet"
    pd.DataFrame({"row_hash": copies.row_hashes(fitting)}).to_parquet(rows, index=False)
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
) -> None:
    """Log the model, and keep a working copy as a pickle with its SHA-256 beside it."""
    cards = card.write(folder, metadata.as_dict())
    references = onnx_export.reference_cases(done.model, done.fitted)
    contents = Contents(done.model, content, metadata, references, cards)
    name, tags = f"{done.parameters['model']}_model", {SOURCE_TAG: done.data.source}
    uri = saving.log(name, contents, provenance.requirements(), tags)
    stored = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))
    run.outputs[uri] = sha256(stored)
    for page in cards:
        run.log_file(page)
    target = ROOT / "models" / "model.pkl"
    with replacing(target) as part:
        joblib.dump(done.model, part)
        digest = sha256(part)
    place(stored / METADATA, target.with_name("model.json"))
    with replacing(target.with_name("model.pkl.sha256")) as part:
        part.write_text(f"{digest}  {target.name}\n")


def summary(model: str, found: Mapping[str, float]) -> str:
    """Return the held-out measures with their intervals, a line each."""
    lines = [
        f"  {name:<10} {found[name]:.3f}  [{found[f'{name}_ci_low']:.3f}, "
        f"{found[f'{name}_ci_high']:.3f}]   cv {found[f'cv_{name}_mean']:.3f} "
        f"+- {found[f'cv_{name}_std']:.3f}"
        for name in metrics.NAMES
    ]
    return (
        f"train: {model}, held-out value [95 % interval], 10-fold cross-validation\n"
        + "\n".join(lines)
    )


def resolve(values: Values, experiment_id: str) -> Run | None:
    """Look up the run that `data` names; an empty one is looked for when the work begins."""
    return latest_or_named("preprocess", str(values["data"]), experiment_id)


def main() -> int:
    """Run the step from the command line."""
    return run_step("train", train, resolve=resolve)


if __name__ == "__main__":
    sys.exit(main())
