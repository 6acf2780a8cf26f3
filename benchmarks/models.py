"""Compare the models on offer, and their calibrations, by repeated cross-validation on Cleveland.

Run as ``python -m benchmarks.models <heart+disease.zip>``; it takes about twenty minutes and writes
docs/models.md.
"""

import os

# One thread each: many small fits are slowed down by more, most of all on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import RepeatedStratifiedKFold

from benchmarks.arguments import arguments
from benchmarks.pasting import machine
from clinical import archive
from clinical.preparation import prepare
from steps.modelling import clinical_metrics, estimators, metrics
from steps.modelling.calibration.fitting import Recipe
from steps.parameters.declaration import check, select
from steps.parameters.entry_points import CALIBRATIONS, MODELS, Train

PAGE = Path(__file__).parents[1] / "docs" / "models.md"
FOLDS = REPEATS = 10
SEED = 42
T_QUANTILE = 1.984  # of 99 degrees of freedom, for 95 %
DEFAULTS = check(Train, {})
Scores = dict[str, np.ndarray]


def read_cleveland(path: Path) -> tuple[pd.DataFrame, metrics.Labels]:
    """Return the features and labels of the Cleveland patients."""
    members = archive.open_source(path)
    member = archive.choose_member(members)
    return estimators.columns(prepare(members[member], member).frame)


def validate(recipe: Recipe, x: pd.DataFrame, y: metrics.Labels) -> Scores:
    """Return the measures of each fold (shape (100,)), and of each repetition as a whole (10,).

    Calibration needs more patients than a fold has, so its line is fitted to the out-of-fold
    probabilities of all patients, once for each repetition.
    """
    splits = RepeatedStratifiedKFold(n_splits=FOLDS, n_repeats=REPEATS, random_state=SEED)
    folds, whole = [], np.full((REPEATS, len(y)), np.nan)
    for i, (fit, test) in enumerate(splits.split(x, y)):
        fitted = recipe.fit(x.iloc[fit], y[fit])
        whole[i // FOLDS, test] = p = fitted.predict_proba(x.iloc[test])[:, 1]
        folds.append(metrics.scores(y[test], p))
    found = {
        name: np.array([fold[name][0] for fold in folds])
        for name in ("roc_auc", "brier", "log_loss", "accuracy")
    }
    lines = [clinical_metrics.scores(y, p) for p in whole]
    for name in ("calibration_slope", "calibration_intercept"):
        found[name] = np.array([line[name][0] for line in lines])
    return found


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return mean and half the width of the 95 % interval, corrected for overlapping folds.

    References
    ----------
    Nadeau, Bengio: Inference for the generalization error. Machine Learning 2003.
    https://doi.org/10.1023/A:1024068626366
    """
    error = np.sqrt((1 / len(values) + 1 / (FOLDS - 1)) * values.var(ddof=1))
    return float(values.mean()), float(T_QUANTILE * error)


def row(found: Scores, *names: str) -> str:
    """Return the cells of a table for one pipeline."""
    cells = []
    for name in ("roc_auc", "brier", "log_loss", "accuracy"):
        mean, reach = interval(found[name])
        cells.append(f"{mean:.3f} ± {reach:.3f}")
    for name in ("calibration_slope", "calibration_intercept"):
        values = found[name]
        cells.append(f"{values.mean():.2f} ({values.min():.2f} to {values.max():.2f})")
    return "| " + " | ".join([*(f"`{name}`" for name in names), *cells]) + " |"


def difference(one: Scores, other: Scores, name: str) -> str:
    """Return how much one pipeline differs from another on the same folds, with its interval."""
    mean, reach = interval(one[name] - other[name])
    return f"{mean:+.3f} ({mean - reach:+.3f} to {mean + reach:+.3f})"


def page(results: dict[tuple[str, str], Scores]) -> str:
    """Return docs/models.md."""
    default = (DEFAULTS.model, DEFAULTS.calibration)
    measures = "ROC AUC | Brier | log-loss | accuracy | calibration slope | calibration intercept"
    lines = [
        "# The models on offer, compared",
        "",
        "Cleveland, 303 patients: stratified 10-fold cross-validation, repeated ten times, "
        "everything",
        "(imputation, encoding, calibration) learnt inside the folds, other parameters at their",
        "defaults. ± is half a 95 % interval of the mean, corrected for the folds' overlap",
        "([Nadeau and Bengio 2003](https://doi.org/10.1023/A:1024068626366)). Slope and intercept "
        "are those of all",
        "out-of-fold probabilities: mean of the ten repetitions, least and greatest in brackets. A "
        "slope",
        "below 1 means probabilities that are too extreme, above 1 too timid.",
        "",
        f"| model | calibration | {measures} |",
        "|---|---|---|---|---|---|---|---|",
        *(row(found, *names) for names, found in results.items()),
        "",
        f"Against the default (`{default[0]}`, calibration `{default[1]}`), on the same folds, "
        "with the same",
        "correction. An interval that holds 0 is a difference within noise; a positive Brier "
        "difference",
        "is worse.",
        "",
        "| model | calibration | ROC AUC | Brier | log-loss |",
        "|---|---|---|---|---|",
    ]
    for names, found in results.items():
        if names != default:
            cells = [
                difference(found, results[default], n) for n in ("roc_auc", "brier", "log_loss")
            ]
            lines.append(f"| `{names[0]}` | `{names[1]}` | " + " | ".join(cells) + " |")
    made = "Made by `python -m benchmarks.models <heart+disease.zip>`."
    return "\n".join([*lines, "", machine(), made]) + "\n"


def main() -> None:
    """Measure, write the page, and print it."""
    x, y = read_cleveland(arguments(__doc__, archive=True).archive)
    results = {}
    for model, calibration in itertools.product(MODELS, CALIBRATIONS):
        recipe = estimators.from_parameters(
            select(Train, vars(DEFAULTS), model=model, calibration=calibration)
        )
        results[model, calibration] = validate(recipe, x, y)
        print(row(results[model, calibration], model, calibration), flush=True)
    PAGE.write_text(page(results))


if __name__ == "__main__":
    main()
