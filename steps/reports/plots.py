"""The pictures of a model's probabilities: those of a training run, and those of a report."""

from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import ConfusionMatrixDisplay, PrecisionRecallDisplay, RocCurveDisplay

from clinical.schema import LABEL
from risk_model.card.wording import between
from steps.modelling import curves
from steps.modelling.evaluation import Measured
from steps.modelling.metrics import THRESHOLD, Floats, Labels
from steps.reports.drawing import NO, SOFT, YES, Draw, canvas, colours, in_percent, legend, outcomes


def draw_all(
    folder: Path,
    y: Labels,
    p: Floats,
    metrics: dict[str, float],
    importance: dict[str, list[float]],
) -> list[Path]:
    """Draw the pictures of a training run into a folder, and return the files.

    Of the held-out patients, for whom ``metrics.with_intervals`` returned `metrics`; `importance`
    has, for each feature, the loss of ROC AUC at each of its permutations.
    """
    accuracy, auc, precision, brier = (
        between(metrics, name) for name in ("accuracy", "roc_auc", "pr_auc", "brier")
    )
    drawings: dict[str, tuple[str, Draw]] = {
        "confusion_matrix": (f"Threshold 0.5: accuracy {accuracy}", partial(confusion, y=y, p=p)),
        "roc": (f"ROC curve: AUC {auc}", partial(roc, y=y, p=p)),
        "precision_recall": (f"Average precision {precision}", partial(precision_recall, y=y, p=p)),
        "calibration": (f"Calibration: Brier score {brier}", partial(calibration, y=y, p=p)),
        "permutation_importance": (
            "Permutation importance", partial(permutations, importance=importance)
        ),
    }  # fmt: skip
    return [
        save(folder / f"{name}.png", f"{title}\nheld-out patients", draw)
        for name, (title, draw) in drawings.items()
    ]


def save(path: Path, title: str, draw: Draw) -> Path:
    """Draw one picture into a PNG file of its own, and return the file."""
    with colours(on_page=False):
        figure, axes = canvas(6.4, 5.2)
        draw(axes)
        axes.set_title(title)
        figure.savefig(path, dpi=120)
    return path


def of_cohort(cohort: Measured, seed: int) -> dict[str, tuple[str, Draw]]:
    """Return the pictures of an evaluated cohort by name: a title, and what draws it.

    Where nearly everybody has the same outcome, no decision is worth a curve.
    """
    y, p = cohort.y, cohort.p
    pictures: dict[str, tuple[str, Draw]] = {
        "calibration": ("Calibration", partial(calibration, y=y, p=p)),
        "decision_curve": ("Decision curve", partial(decision_curve, y=y, p=p, seed=seed)),
        "roc": ("ROC curve", partial(roc, y=y, p=p)),
        "distributions": ("Probabilities by outcome", partial(distributions, y=y, p=p)),
    }
    if cohort.summary["lopsided"]:
        del pictures["decision_curve"]
    return pictures


def calibration(axes: Axes, y: Labels, p: Floats) -> None:
    """Draw the smooth calibration curve with its interval, ten groups, and a histogram below."""
    groups = max(2, min(10, len(y) // 20))
    CalibrationDisplay.from_predictions(
        y, p, n_bins=groups, strategy="quantile", ax=axes, color=SOFT, ls="", marker="o", ms=4,
        name=f"{groups} groups of patients", ref_line=False,
    )  # fmt: skip
    axes.plot([0, 1], [0, 1], ":", color=SOFT, label="right")
    if curve := curves.calibration(y, p):
        axes.plot(curve.x, curve.middle, color=NO, lw=2, label="smooth, with 95 % interval")
        axes.fill_between(curve.x, curve.low, curve.high, color=NO, alpha=0.18, lw=0)
    edges, counts = np.linspace(0, 1, curves.BINS + 1), curves.histogram(y, p)
    tallest = max(*counts["0"], *counts["1"])
    for label, colour, side in ((1, YES, 0.09), (0, NO, -0.09)):
        heights, name = -0.14 + side * np.array(counts[str(label)]) / tallest, LABEL.codes[label]
        axes.stairs(heights, edges, baseline=-0.14, fill=True, color=colour, label=name)
    axes.set(xlabel="predicted probability", ylabel="observed share with the disease",
             xlim=(-0.02, 1.02), ylim=(-0.25, 1.02))  # fmt: skip
    in_percent(axes, "x", "y")
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    legend(axes)


def decision_curve(axes: Axes, y: Labels, p: Floats, seed: int) -> None:
    """Draw the net benefit over the threshold from which one treats, with 95 % intervals."""
    axes.axhline(0, color=SOFT, lw=1, label="treat nobody")
    strategies = curves.decision(y, p, seed)
    for strategy, colour, label in (("all", YES, "treat everybody"), ("model", NO, "by the model")):
        curve = strategies[strategy]
        axes.plot(curve.x, curve.middle, color=colour, lw=2, label=label)
        axes.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.18, lw=0)
    axes.set(xlim=(0, 1), ylim=(-0.08, float(y.mean()) * 1.15 + 0.02))
    axes.set(xlabel="probability of disease from which one treats", ylabel="net benefit")
    in_percent(axes, "x")
    legend(axes)


def roc(axes: Axes, y: Labels, p: Floats) -> None:
    """Draw the ROC curve."""
    RocCurveDisplay.from_predictions(
        y, p, ax=axes, name="model", curve_kwargs={"color": NO, "lw": 2},
        plot_chance_level=True, chance_level_kw={"color": SOFT, "label": "chance"},
    )  # fmt: skip
    axes.set(xlabel="1 - specificity", ylabel="sensitivity")
    legend(axes)


def precision_recall(axes: Axes, y: Labels, p: Floats) -> None:
    """Draw the precision-recall curve."""
    PrecisionRecallDisplay.from_predictions(
        y, p, ax=axes, name="model", curve_kwargs={"color": NO, "lw": 2},
        plot_chance_level=True, chance_level_kw={"color": SOFT, "label": "prevalence"},
    )  # fmt: skip
    axes.set(xlabel="recall (sensitivity)", ylabel="precision (positive predictive value)")
    legend(axes)


def confusion(axes: Axes, y: Labels, p: Floats) -> None:
    """Draw how many patients of each outcome fell on each side of the threshold."""
    ConfusionMatrixDisplay.from_predictions(
        y, (p >= THRESHOLD).astype(int), labels=[0, 1], ax=axes, cmap="Blues", colorbar=False,
        display_labels=list(LABEL.codes.values()), text_kw={"fontsize": 14},
    )  # fmt: skip
    axes.set(xlabel="predicted", ylabel="observed")


def distributions(axes: Axes, y: Labels, p: Floats) -> None:
    """Draw how the probabilities are spread among those with and without the disease."""
    groups = {name: p[y == label] for label, name in LABEL.codes.items()}
    outcomes(axes, np.linspace(0, 1, curves.BINS + 1), groups)
    axes.set(xlabel="predicted probability", ylabel="share of patients", xlim=(0, 1))
    in_percent(axes, "x", "y")
    legend(axes)


def calibrations(axes: Axes, y: Labels, probabilities: dict[str, Floats]) -> None:
    """Draw the calibration curves of several sets of probabilities of the same patients."""
    axes.plot([0, 1], [0, 1], ":", color=SOFT, label="right")
    styles = zip((SOFT, NO, YES), ("-.", "-", "--"), strict=True)
    for (name, p), (colour, style) in zip(probabilities.items(), styles, strict=False):
        if curve := curves.calibration(y, p):
            axes.plot(curve.x, curve.middle, style, color=colour, lw=2, label=name)
    axes.set(xlabel="predicted probability", ylabel="observed share with the disease")
    in_percent(axes, "x", "y")
    legend(axes)


def permutations(axes: Axes, importance: dict[str, list[float]]) -> None:
    """Draw what shuffling each feature costs."""
    names = sorted(importance, key=lambda name: float(np.mean(importance[name])))
    losses = [importance[name] for name in names]
    means, spread = np.mean(losses, axis=1), np.std(losses, axis=1)
    axes.barh(names, means, xerr=spread, color=NO, ecolor=SOFT)
    axes.axvline(0, color=SOFT, lw=0.8)
    axes.set(xlabel="loss of ROC AUC when the feature is shuffled (mean, sd of 10)")
