"""The pictures of a training run, drawn on held-out patients and readable at a glance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, precision_recall_curve, roc_curve

from clinical.schema import LABEL
from steps.modelling.metrics import Floats, Labels

BLUE, GREY = "#1f5fa8", "#8a8a8a"


def draw_all(
    folder: Path,
    y: Labels,
    p: Floats,
    metrics: Mapping[str, float],
    importance: Mapping[str, Sequence[float]],
) -> list[Path]:
    """Draw every picture into a folder, and return the files.

    Parameters
    ----------
    folder : Path
        An existing folder.
    y, p : arrays of shape (n_rows,)
        Labels and probabilities of the held-out patients.
    metrics : mapping of str to float
        What ``metrics.with_intervals`` returned for them.
    importance : mapping of str to sequence of float
        For each feature, the loss of ROC AUC at each of its permutations.
    """

    def between(name: str) -> str:
        low, high = metrics[f"{name}_ci_low"], metrics[f"{name}_ci_high"]
        return f"{metrics[name]:.3f} (95 % CI {low:.3f} to {high:.3f})"

    drawings: dict[str, Callable[[Axes], None]] = {
        "confusion_matrix": lambda axes: _confusion(axes, y, p, between("accuracy")),
        "roc": lambda axes: _roc(axes, y, p, between("roc_auc")),
        "precision_recall": lambda axes: _precision_recall(axes, y, p, between("pr_auc")),
        "calibration": lambda axes: _calibration(axes, y, p, between("brier")),
        "permutation_importance": lambda axes: _importance(axes, importance),
    }
    return [_save(folder / f"{name}.png", draw) for name, draw in drawings.items()]


def _save(path: Path, draw: Callable[[Axes], None]) -> Path:
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    draw(axes)
    figure.savefig(path, dpi=120)
    return path


def _confusion(axes: Axes, y: Labels, p: Floats, score: str) -> None:
    counts = confusion_matrix(y, p >= 0.5, labels=[0, 1])
    shares = counts / counts.sum(axis=1, keepdims=True)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        shade = "white" if shares[row, column] > 0.5 else "black"
        text = f"{count}\n{shares[row, column]:.0%} of row"
        axes.text(column, row, text, ha="center", va="center", color=shade, fontsize=14)
    axes.set_xticks([0, 1], [f"said {LABEL.codes[0]}", f"said {LABEL.codes[1]}"])
    axes.set_yticks([0, 1], [f"{LABEL.codes[0]}", f"{LABEL.codes[1]}"], rotation=90, va="center")
    axes.set(title=f"Held-out patients at threshold 0.5\naccuracy {score}")


def _roc(axes: Axes, y: Labels, p: Floats, score: str) -> None:
    fallout, recall, _ = roc_curve(y, p)
    axes.plot([0, 1], [0, 1], "--", color=GREY, label="chance")
    axes.plot(fallout, recall, color=BLUE, label="model")
    axes.set(
        xlabel="1 - specificity", ylabel="sensitivity", aspect="equal",
        title=f"ROC curve\nAUC {score}",
    )  # fmt: skip
    axes.legend(loc="lower right", frameon=False)


def _precision_recall(axes: Axes, y: Labels, p: Floats, score: str) -> None:
    precision, recall, _ = precision_recall_curve(y, p)
    axes.axhline(y.mean(), ls="--", color=GREY, label=f"prevalence {y.mean():.2f}")
    axes.step(recall, precision, where="post", color=BLUE, label="model")
    axes.set(
        xlabel="recall (sensitivity)", ylabel="precision (positive predictive value)",
        ylim=(0, 1.03), title=f"Precision-recall curve\naverage precision {score}",
    )  # fmt: skip
    axes.legend(loc="lower left", frameon=False)


def _calibration(axes: Axes, y: Labels, p: Floats, score: str) -> None:
    groups = min(5, max(2, len(y) // 10))
    observed, said = calibration_curve(y, p, n_bins=groups, strategy="quantile")
    axes.plot([0, 1], [0, 1], "--", color=GREY, label="perfect")
    axes.plot(said, observed, "o-", color=BLUE, label=f"model, {len(said)} equal groups")
    # Below the curve, how many patients got which probability: with disease up, without down.
    for label, side, color in ((1, 1, BLUE), (0, -1, GREY)):
        given = p[y == label]
        heights = np.full(len(given), side * 0.5 / len(y))
        axes.hist(
            given,
            bins=20,
            range=(0, 1),
            weights=heights,
            color=color,
            alpha=0.6,
            label=LABEL.codes[label],
        )
    axes.set(
        xlabel="predicted probability", ylabel="observed share with disease",
        title=f"Calibration\nBrier score {score}",
    )  # fmt: skip
    axes.legend(loc="upper left", frameon=False)


def _importance(axes: Axes, importance: Mapping[str, Sequence[float]]) -> None:
    names = sorted(importance, key=lambda name: float(np.mean(importance[name])))
    means = [float(np.mean(importance[name])) for name in names]
    spread = [float(np.std(importance[name])) for name in names]
    axes.barh(names, means, xerr=spread, color=BLUE, ecolor=GREY)
    axes.axvline(0, color="black", lw=0.8)
    axes.set(
        xlabel="loss of ROC AUC when the feature is shuffled (mean, sd of 10)",
        title="Permutation importance, held-out patients",
    )
