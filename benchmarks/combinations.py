"""Measure how often pairs of findings that no training patient had are warned of, on Cleveland.

Run as ``python -m benchmarks.combinations <heart+disease.zip>`` (seconds); it writes the figures to
docs/benchmarks.md.
"""

import numpy as np
import pandas as pd

from benchmarks.arguments import arguments
from benchmarks.models import read_cleveland
from benchmarks.pasting import paste
from clinical.schema import FEATURES
from risk_model import cautions
from risk_model.metadata import Metadata

PARTS = (3, 4, 5, 6, 8, 10)
FOLDS = 10
ODD: dict[str, dict[str, float]] = {
    "33 years, three vessels": {"age": 33, "ca": 3},
    "76 years, heart rate 190": {"age": 76, "thalach": 190},
    "ST depression 4.5 mm, upsloping": {"oldpeak": 4.5, "slope": 2},
    "33 years, ST depression 4.5 mm": {"age": 33, "oldpeak": 4.5},
    "32 years, cholesterol 400": {"age": 32, "chol": 400},
    "angina during exercise, heart rate 195": {"exang": 1, "thalach": 195},
}
"""Each is put in place of two findings of every patient; each value by itself is within range."""


def warned(model: Metadata, patients: pd.DataFrame) -> list[bool]:
    """Return which patients are warned of for a pair of findings."""
    rows = patients.astype(object).where(patients.notna(), None).to_numpy().tolist()
    found = map(cautions.Cautions(model).warnings, rows)
    return [any("had both" in words for _, words in warnings) for warnings in found]


def learn(training: pd.DataFrame, parts: int) -> Metadata:
    """Return what a model of these patients would carry."""
    seen = {
        feature.name: {"low": training[feature.name].min(), "high": training[feature.name].max()}
        for feature in FEATURES
    }
    known = Metadata.of({"seen": seen})
    pairs = cautions.unseen_pairs(training, known.seen, parts)
    return known.model_copy(update={"unseen_pairs": pairs})


def measure(patients: pd.DataFrame, parts: int) -> list[float]:
    """Return the pairs, and shares of held-out patients warned of: as they are, then by ODD."""
    fold = np.random.default_rng(0).permutation(len(patients)) % FOLDS
    counts, found = [], []
    for number in range(FOLDS):
        model, others = learn(patients[fold != number], parts), patients[fold == number]
        assert model.unseen_pairs
        counts.append(len(model.unseen_pairs.pairs))
        cases = [others, *(others.assign(**odd) for odd in ODD.values())]
        found.append(np.array([warned(model, case) for case in cases], dtype=float))
    return [float(np.mean(counts)), *np.concatenate(found, axis=1).mean(axis=1)]


def table(figures: dict[int, list[float]]) -> str:
    """Return the figures as Markdown."""
    head = ["parts", "pairs", "as they are", *ODD]
    rows = [
        [str(parts), f"{pairs:.0f}", *(f"{100 * share:.0f} %" for share in shares)]
        for parts, (pairs, *shares) in figures.items()
    ]
    return "\n".join(
        [
            "## Combinations of findings",
            "",
            "Of the Cleveland patients, how many are warned of for a pair of findings that nobody "
            f"had in the other nine tenths of them ({FOLDS} folds): as they are, and with two "
            "findings replaced. By the number of parts of a measurement's range, of which a model "
            f"has {cautions.PARTS}.",
            "",
            *(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)),
        ]
    )


def main() -> None:
    """Measure, and write the page."""
    features, _ = read_cleveland(arguments(__doc__, archive=True).archive)
    found = {parts: measure(features, parts) for parts in PARTS}
    paste("combinations", "python -m benchmarks.combinations", table(found))


if __name__ == "__main__":
    main()
