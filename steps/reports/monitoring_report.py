"""The result of monitoring as a page to read: pictures first."""

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

from clinical.schema import FEATURES
from risk_model.card.wording import MEASURES, between, number, percent
from risk_model.prediction_log.records import PROBABILITY, SMALLEST
from steps.reports.drawing import NO, SOFT, YES, Draw, colours, in_percent, legend, svg
from steps.reports.pages import render

_FEATURES = {feature.name: feature for feature in FEATURES}
_TITLES = {f.name: f.title for f in FEATURES} | {PROBABILITY: "Probability of disease"}
_BAR = 0.4
FIRST = ("observed_expected", "calibration_intercept", "calibration_slope", "roc_auc", "brier")
"""The measures of outcomes that lead, and that the run has as metrics; monitoring.json has all.

First calibration in the large, for that is what drifts.
"""


def draw(about: dict[str, Any], models: list[dict[str, Any]]) -> str:
    """Draw the result of monitoring as one self-contained page.

    `about` has `name`, `made_at`, `notes`, and `outcomes`: what became of the rows of their file,
    or None. `models` are summaries by `monitoring.versions.measure`, the leading one first.
    """
    with colours(on_page=True):
        shown = [{**model, "pictures": _pictures(model)} for model in models]
    return render(
        "monitoring.html.j2",
        title=f"Monitoring of {about['name']}",
        about=about,
        models=shown,
        smallest=SMALLEST,
        tiles=_tiles,
        judged=_judged,
        rows=_rows,
    )


def _tiles(metrics: dict[str, float]) -> list[tuple[str, str]]:
    return [(MEASURES[name], between(metrics, name, 2)) for name in FIRST if name in metrics]


def _judged(judged: list[dict[str, Any]]) -> list[list[str]]:
    return [
        [MEASURES[one["name"]], number(one["value"]), number(one["stated"]),
         "yes" if one["left"] else "no"]
        for one in judged
    ]  # fmt: skip


def _rows(model: dict[str, Any]) -> list[list[str]]:
    return [
        [_TITLES[name], number(one["psi"]), number(one["by_chance"]),
         "yes" if one["drift"] else "no",
         "few" if one["missing_rate"] is None else percent(one["missing_rate"])]
        for name, one in model["variables"].items()
    ]  # fmt: skip


def _pictures(model: dict[str, Any]) -> list[dict[str, str]]:
    """Return the pictures of a model: probability first, then what drifts most."""
    drawn, variables = [], model["variables"]

    def add(key: str, title: str, draw_on: Draw, height: float = 2.6) -> None:
        picture = svg(f"{model['model_version']}-{key}", title, draw_on, 3.9, height)
        drawn.append({"title": title, "svg": picture})

    if len(points := model["over_time"]) > 1:
        add("over-time", "Mean probability over time", partial(over_time, points=points))
    if model["outcomes"] and len(periods := model["outcomes"]["periods"]) > 1:
        draw_on = partial(calibration_over_time, periods=periods)
        add("calibration", "Observed / expected over time", draw_on)
    for name in sorted(variables, key=lambda n: (n != PROBABILITY, -(variables[n]["psi"] or 0))):
        one = variables[name]
        title = f"{_TITLES[name]}: drift" if one["drift"] else _TITLES[name]
        add(name, title, partial(shares, name=name, one=one), 0.9 + 0.23 * len(one["now"]))
    return drawn


def over_time(axes: Axes, points: list[dict[str, Any]]) -> None:
    """Draw the mean probability of each period."""
    at = np.array([point["from"][:19] for point in points], "datetime64[s]")
    axes.plot(at, [point["mean_probability"] for point in points], "o-", color=NO, ms=4)
    axes.set(ylim=(0, 1))
    in_percent(axes, "y")
    locator = AutoDateLocator(maxticks=5)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def calibration_over_time(axes: Axes, periods: list[dict[str, Any]]) -> None:
    """Draw observed / expected of each period with its interval; 1 is right."""
    name = "observed_expected"
    axes.axhline(1, ls=":", color=SOFT)
    for place, period in enumerate(periods):
        metrics = period["metrics"]
        axes.plot([place] * 2, [metrics[f"{name}_ci_low"], metrics[f"{name}_ci_high"]], color=YES)
        axes.plot(place, metrics[name], "o", color=YES, ms=4)
    axes.set_xticks(range(len(periods)), [period["from"] for period in periods], rotation=30)


def shares(axes: Axes, *, name: str, one: dict[str, Any]) -> None:
    """Draw the share of patients in each bin: then, and now."""
    labels, places = _labels(name, one), list(range(len(one["now"])))
    now = [share or 0 for share in one["now"]]
    if one["before"] is not None:
        axes.barh([p - _BAR / 2 for p in places], one["before"], _BAR, color=SOFT, label="baseline")
    axes.barh([p + _BAR / 2 for p in places], now, _BAR, color=NO, label="now")
    axes.set_yticks(places, [label if share is not None else f"{label} (few)"
                             for label, share in zip(labels, one["now"], strict=True)])  # fmt: skip
    axes.invert_yaxis()
    in_percent(axes, "x")
    legend(axes)


def _labels(name: str, one: dict[str, Any]) -> list[str]:
    """Return a label for each bin, the last for unknown values."""
    if one["codes"]:
        names = _FEATURES[name].codes
        return [*(names.get(code, str(code)) for code in one["codes"]), "unknown"]
    ends = [f"{edge:.3g}" for edge in one["edges"] or ()]
    if not ends:
        return ["known", "unknown"]
    between = [f"{low} to {high}" for low, high in pairwise(ends)]
    return [f"under {ends[0]}", *between, f"{ends[-1]} and over", "unknown"]
