"""The pictures of an evaluation: calibration, decision curve, ROC, distributions, groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from sklearn.metrics import roc_curve

from clinical.schema import LABEL
from steps.modelling import clinical_metrics
from steps.modelling.metrics import Floats, Labels
from steps.reports import pages

THRESHOLDS = np.linspace(0.01, 0.99, 99)
BINS = 20


@dataclass(frozen=True)
class Colours:
    """The colours of a picture: ink, and the two outcomes; the model has that of the ill."""

    ink: str
    no: str
    yes: str
    soft: str


ON_PAGE = Colours(pages.INK, pages.NO, pages.YES, pages.SOFT)
ALONE = Colours("#1c2430", "#4c86c6", "#d9643a", "#5b6675")
Place = Literal["best", "upper right", "upper center", "lower right"]
Draw = Callable[[Axes, Colours], None]


def drawings(y: Labels, p: Floats, lopsided: bool = False) -> dict[str, tuple[str, Draw]]:
    """Return the pictures of a cohort by name: a title, and what draws it."""
    found: dict[str, tuple[str, Draw]] = {
        "calibration": ("Calibration", lambda axes, c: calibration(axes, c, y, p)),
        "decision_curve": ("Decision curve", lambda axes, c: decision_curve(axes, c, y, p)),
        "roc": ("ROC curve", lambda axes, c: roc(axes, c, y, p)),
        "distributions": ("Probabilities by outcome", lambda axes, c: spread(axes, c, y, p)),
    }
    if lopsided:
        del found["decision_curve"]
    return found


def calibration(axes: Axes, colours: Colours, y: Labels, p: Floats) -> None:
    """Draw observed against predicted shares, in groups of equal size, with 95 % intervals."""
    groups = np.array_split(np.argsort(p, kind="stable"), max(3, min(10, len(y) // 20)))
    said = np.array([p[group].mean() for group in groups])
    seen = np.array([y[group].mean() for group in groups])
    ends = np.array([clinical_metrics.share_interval(int(y[g].sum()), len(g)) for g in groups]).T
    reach = np.abs(ends - seen)
    axes.plot([0, 1], [0, 1], "--", color=colours.soft, lw=1, label="perfect")
    axes.errorbar(said, seen, reach, fmt="o-", color=colours.yes, ms=3.5, lw=1.2, label="model")
    _shares(axes, "predicted probability", "observed share")
    _legend(axes, colours, "best")


def decision_curve(axes: Axes, colours: Colours, y: Labels, p: Floats) -> None:
    """Draw the net benefit over the risk at which one would act."""
    ones = np.ones((1, len(y)))

    def curve(said: Floats) -> list[float]:
        return [float(clinical_metrics.net_benefit(y, said, at, ones)[0]) for at in THRESHOLDS]

    everybody = np.ones(len(y))
    axes.axhline(0, color=colours.ink, lw=0.8, label="nobody")
    axes.plot(THRESHOLDS, curve(everybody), "--", color=colours.no, lw=1.2, label="everybody")
    axes.plot(THRESHOLDS, curve(p), color=colours.yes, lw=1.5, label="by the model")
    axes.set(xlim=(0, 1), ylim=(-0.08, float(y.mean()) * 1.15 + 0.02))
    axes.set(xlabel="risk from which one acts", ylabel="net benefit")
    axes.xaxis.set_major_formatter(_percent)
    _legend(axes, colours, "upper right")


def roc(axes: Axes, colours: Colours, y: Labels, p: Floats) -> None:
    """Draw the ROC curve."""
    fallout, recall, _ = roc_curve(y, p)
    axes.plot([0, 1], [0, 1], "--", color=colours.soft, lw=1, label="chance")
    axes.plot(fallout, recall, color=colours.yes, lw=1.5, label="model")
    _shares(axes, "1 - specificity", "sensitivity")
    _legend(axes, colours, "lower right")


def spread(axes: Axes, colours: Colours, y: Labels, p: Floats) -> None:
    """Draw how the probabilities are spread among those with and without the disease."""
    edges = np.linspace(0, 1, BINS + 1)
    for label, colour in ((0, colours.no), (1, colours.yes)):
        given = p[y == label]
        heights = np.histogram(given, edges)[0] / max(len(given), 1)
        axes.stairs(heights, edges, fill=True, alpha=0.35, color=colour, label=LABEL.codes[label])
        axes.stairs(heights, edges, color=colour, lw=1.2)
    axes.set(xlabel="predicted probability", ylabel="share of patients", xlim=(0, 1))
    axes.xaxis.set_major_formatter(_percent)
    axes.yaxis.set_major_formatter(_percent)
    axes.set_ylim(0, axes.get_ylim()[1] * 1.3)  # room for the legend
    _legend(axes, colours, "upper center")


def forest(axes: Axes, colours: Colours, rows: Sequence[dict[str, Any]], name: str) -> None:
    """Draw a measure of every group that is large enough, with its interval."""
    known = [row for row in rows if row["metrics"] and np.isfinite(row["metrics"][name])]
    places = np.arange(len(known))
    values = np.array([row["metrics"][name] for row in known])
    low = np.array([row["metrics"][f"{name}_ci_low"] for row in known])
    high = np.array([row["metrics"][f"{name}_ci_high"] for row in known])
    if known:
        axes.axvline(values[0], color=colours.soft, lw=1, ls="--")
        axes.errorbar(
            values, places, xerr=(values - low, high - values), fmt="o", color=colours.yes,
            ms=4, lw=1.2,
        )  # fmt: skip
    axes.set_yticks(places, [f"{row['group']} ({row['patients']})" for row in known])
    axes.set(ylim=(max(len(known), 1) - 0.5, -0.5), xlim=(min([0.4, *low]) - 0.02, 1.02))


def several(axes: Axes, colours: Colours, y: Labels, probabilities: dict[str, Floats]) -> None:
    """Draw the calibration of several sets of probabilities of the same patients."""
    axes.plot([0, 1], [0, 1], "--", color=colours.soft, lw=1)
    styles = zip(probabilities.items(), ("o:", "s-", "^--"), strict=False)
    shades = (colours.soft, colours.yes, colours.no)
    for ((name, p), style), shade in zip(styles, shades, strict=False):
        groups = np.array_split(np.argsort(p, kind="stable"), 10)
        said, seen = ([float(v[group].mean()) for group in groups] for v in (p, y))
        axes.plot(said, seen, style, color=shade, ms=3.5, lw=1.2, label=name)
    _shares(axes, "predicted probability", "observed share")
    _legend(axes, colours, "best")


def _shares(axes: Axes, x: str, y: str) -> None:
    axes.set(xlabel=x, ylabel=y, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.xaxis.set_major_formatter(_percent)
    axes.yaxis.set_major_formatter(_percent)


def _percent(share: float, _: object = None) -> str:
    return f"{100 * share:.3g} %"


def _legend(axes: Axes, colours: Colours, place: Place) -> None:
    axes.legend(loc=place, frameon=False, fontsize=8, labelcolor=colours.ink)
    axes.xaxis.label.set_color(colours.ink)
    axes.yaxis.label.set_color(colours.ink)
