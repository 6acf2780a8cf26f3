"""Measure how often 95 % intervals hold what is true, by simulation.

Run as ``python -m benchmarks.coverage [simulations]`` (2,000 take a quarter of an hour); it writes
the figures to docs/benchmarks.md, and exits 1 where the coverage for 303 patients is not within
LIMITS. The population is the generator of synthetic patients, the model the default one, fitted to
303 of them: what is true of it is what is found on the whole population.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.arguments import arguments
from benchmarks.pasting import paste
from clinical import cohort
from clinical.preparation import prepare
from steps.modelling import clinical_metrics, estimators, metrics
from steps.modelling.metrics import Floats, Labels
from steps.parameters.declaration import check
from steps.parameters.entry_points import Train

POPULATION = 50_000
SIZES = (303, 61)
LIMITS = (0.92, 0.97)
PROMISED = (
    "net_benefit_10", "net_benefit_20", "calibration_intercept", "observed_expected", "roc_auc",
    "brier", "calibration_slope",
)  # fmt: skip
"""The measures whose coverage must be within LIMITS for 303 patients."""


def draw(count: int, seed: int) -> tuple[Labels, Floats]:
    """Return labels of so many synthetic patients, and the probabilities of the fixed model."""
    x, y = patients(303, seed=1)
    model = estimators.from_parameters(check(Train, {})).fit(x, y)
    others, labels = patients(count, seed)
    return labels, np.asarray(model.predict_proba(others)[:, 1])


def patients(count: int, seed: int) -> tuple[pd.DataFrame, Labels]:
    """Return features and labels of so many synthetic patients."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample.data"
        cohort.write_uci(cohort.draw(count, seed), path)
        return estimators.columns(prepare(path, path.name).frame)


def coverage(y: Labels, p: Floats, size: int, simulations: int) -> dict[str, tuple[float, float]]:
    """Return the shares of samples whose interval holds the population's figure, by measure.

    That of the intervals that steps print, and that of plain percentiles of the same bootstraps.
    """
    true = {name: value[0] for name, value in clinical_metrics.scores(y, p).items()}
    random, held = np.random.default_rng(size), {name: [0, 0] for name in clinical_metrics.NAMES}
    for number in range(simulations):
        rows = random.integers(0, len(y), size)
        labels, said = y[rows], p[rows]
        value, drawn, without = (
            clinical_metrics.scores(labels, said, weights)
            for weights in (
                None, metrics.bootstrap_weights(labels, number), metrics.jackknife_weights(labels)
            )
        )  # fmt: skip
        for name, counts in held.items():
            ends = metrics.interval(float(value[name][0]), drawn[name], without[name])
            plain = np.nanpercentile(drawn[name], [2.5, 97.5])
            for kind, (low, high) in enumerate((ends, plain)):
                counts[kind] += low <= true[name] <= high
    return {name: (a / simulations, b / simulations) for name, (a, b) in held.items()}


def table(found: dict[int, dict[str, tuple[float, float]]], simulations: int) -> str:
    """Return the figures as Markdown."""
    low, high = LIMITS
    rows = []
    for name in clinical_metrics.NAMES:
        shares = [share for shares in found.values() for share in shares[name]]
        cells = (f"{s:.3f}{'' if low <= s <= high else ' (outside)'}" for s in shares)
        rows.append(f"| `{name}` | " + " | ".join(cells) + " |")
    head = " | ".join(f"{size} patients | percentiles" for size in found)
    return "\n".join(
        [
            "## Intervals",
            "",
            "How often a 95 % interval holds the figure of the population, in "
            f"{simulations:,} samples of synthetic patients; an undefined one does not. Beside the "
            "intervals that are printed (BCa), plain percentiles of the same bootstraps. What is "
            f"outside of {low} to {high} is marked; a share of .95 is known to within "
            f"{1.96 * (0.95 * 0.05 / simulations) ** 0.5:.3f}.",
            "",
            f"| measure | {head} |",
            "|---" * (1 + 2 * len(found)) + "|",
            *rows,
        ]
    )


def main() -> int:
    """Measure, write the page, and return 1 where an interval is too narrow or too wide."""
    simulations = arguments(__doc__, simulations=2000).simulations
    y, p = draw(POPULATION, seed=2)
    found = {size: coverage(y, p, size, simulations) for size in SIZES}
    paste("coverage", "python -m benchmarks.coverage", table(found, simulations))
    low, high = LIMITS
    return int(not all(low <= found[SIZES[0]][name][0] <= high for name in PROMISED))


if __name__ == "__main__":
    sys.exit(main())
