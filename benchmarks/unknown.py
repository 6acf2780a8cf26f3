"""Measure how well calibrated models are while findings are unknown, out of fold, on Cleveland.

Run as ``python -m benchmarks.unknown <heart+disease.zip>`` (some minutes); it writes
docs/unknown-findings.md.
"""

import os

# One thread each: many small fits are slowed down by more, most of all on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.arguments import arguments
from benchmarks.models import DEFAULTS, read_cleveland
from benchmarks.pasting import paste
from risk_model import patterns
from steps.modelling import clinical_metrics, estimators
from steps.modelling.metrics import Floats, Labels
from steps.modelling.validation import cross_validated
from steps.parameters.declaration import select
from steps.parameters.entry_points import CALIBRATIONS, MODELS, Train

PAGE = Path(__file__).parents[1] / "docs" / "unknown-findings.md"
NAMES = (
    "roc_auc", "brier", "observed_expected", "calibration_intercept", "calibration_slope",
    "sensitivity",
)  # fmt: skip
HEAD = "ROC AUC | Brier | O/E | intercept | slope | sensitivity"
LATE = ("ca", "thal")
SALTS = range(100, 110)


def figures(y: Labels, p: Floats) -> Floats:
    """Return the measures of NAMES."""
    found = clinical_metrics.scores(y, p)
    return np.array([found[name][0] for name in NAMES])


def masked(
    values: dict[str, object], x: pd.DataFrame, y: Labels, salt: int | None = None
) -> Floats:
    """Return out-of-fold probabilities for each pattern of unknown findings."""
    more = {} if salt is None else {"salt": salt}
    recipe = estimators.from_parameters(select(Train, vars(DEFAULTS), **values))
    return cross_validated(recipe, x, y, **more).masked


def number(*names: str) -> int:
    """Return the pattern in which these findings are unknown."""
    return next(k for k in range(patterns.COUNT) if patterns.unknown(k) == names)


def row(title: str, found: Floats) -> str:
    """Return a line of a table."""
    return f"| {title} | " + " | ".join(f"{value:.3f}" for value in found) + " |"


def tables(x: pd.DataFrame, y: Labels) -> Iterator[str]:
    """Yield the page's lines."""
    default = masked({}, x, y)
    yield f"The default model, by what is unknown:\n\n| unknown | {HEAD} |\n{'|---' * 7}|"
    for k, p in enumerate(default):
        yield row(", ".join(patterns.unknown(k)) or "nothing", figures(y, p))
    yield f"\nOther models, ca and thal unknown:\n\n| model, calibration | {HEAD} |\n{'|---' * 7}|"
    for model, kind in itertools.product(MODELS, CALIBRATIONS):
        found = masked({"model": model, "calibration": kind}, x, y)
        yield row(f"{model}, {kind}", figures(y, found[number(*LATE)]))
    others = [masked({}, x, y, salt) for salt in SALTS]
    yield (
        f"\nThe default model in {len(SALTS)} other divisions into folds, mean (least to greatest):"
        f"\n\n| unknown | {HEAD} |\n{'|---' * 7}|"
    )
    for names in ((), LATE):
        each = np.array([figures(y, found[number(*names)]) for found in others])
        cells = (f"{c.mean():.3f} ({c.min():.3f} to {c.max():.3f})" for c in each.T)
        yield f"| {', '.join(names) or 'nothing'} | " + " | ".join(cells) + " |"


def main() -> None:
    """Measure, and write the page."""
    archive = arguments(__doc__, archive=True).archive
    text = "\n".join(tables(*read_cleveland(archive)))
    paste("unknown", "python -m benchmarks.unknown <heart+disease.zip>", text, PAGE)


if __name__ == "__main__":
    main()
