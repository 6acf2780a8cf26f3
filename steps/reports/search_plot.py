"""The picture of a search: what each parameter does to the measures of the candidates."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from steps.modelling.searching import MEASURES
from steps.reports.drawing import ALONE

_, BLUE, _, GREY = ALONE
COLORS = (BLUE, "#c8641b", "#3a7d34", "#7b4fa3")
TITLES = {"brier": "Brier score, lower is better", "roc_auc": "ROC AUC", "log_loss": "log-loss"}
LOGARITHMIC = ("C",)


def draw(path: Path, tried: pd.DataFrame, winner: int, honest: Mapping[str, float]) -> Path:
    """Draw a panel for each measure and parameter into a PNG file, and return it.

    `tried` has a row for each candidate: ``model``, its parameters (NaN where the model has no use
    for one), and its measures; row `winner` won. `honest` is the result of nested cross-validation:
    measures, each with ``_ci_low`` and ``_ci_high``.
    """
    columns = [str(name) for name in tried]
    names = [name for name in columns if name != "model" and not name.startswith("cv_")]
    size = (1.6 + 3.0 * len(names), 1.2 + 2.4 * len(MEASURES))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(MEASURES), len(names), sharex="col", sharey="row", squeeze=False)
    for row, measure in zip(grid, MEASURES, strict=True):
        row[0].set_ylabel(TITLES[measure])
        means = tried.loc[[winner], f"cv_{measure}_mean"]
        for axes, name in zip(row, names, strict=True):
            axes.spines[["top", "right"]].set_visible(False)
            low, high = honest[f"{measure}_ci_low"], honest[f"{measure}_ci_high"]
            axes.axhspan(low, high, color=GREY, alpha=0.15, lw=0)
            axes.axhline(honest[measure], ls="--", color=GREY, label="nested, with 95 % interval")
            _draw_candidates(axes, tried, name, measure)
            axes.plot(
                tried.loc[[winner], name], means, "*", ms=15, mfc="gold", mec="black",
                label="winner, in the search", zorder=3,
            )  # fmt: skip
    for axes, name in zip(grid[-1], names, strict=True):
        axes.set_xlabel(name)
        if name in LOGARITHMIC:
            axes.set_xscale("log")
        else:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _draw_legend(figure, grid[0], 1 + len(names))
    figure.savefig(path, dpi=120)
    return path


def _draw_candidates(axes: Axes, tried: pd.DataFrame, name: str, measure: str) -> None:
    for color, (model, rows) in zip(COLORS, tried.groupby("model", sort=False), strict=False):
        shown = rows[rows[name].notna()]
        if len(shown):
            axes.errorbar(
                shown[name], shown[f"cv_{measure}_mean"], shown[f"cv_{measure}_std"],
                fmt="o", ms=4, lw=0.8, color=color, ecolor=(color, 0.3), label=str(model),
            )  # fmt: skip


def _draw_legend(figure: Figure, row: list[Axes], columns: int) -> None:
    drawn = [zip(*axes.get_legend_handles_labels(), strict=True) for axes in row]
    items = {label: handle for pairs in drawn for handle, label in pairs}
    figure.legend(items.values(), items, loc="outside upper center", ncols=columns, frameon=False)
