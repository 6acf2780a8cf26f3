"""The data report as a page to read: the account of preprocessing, with the distributions."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from clinical.schema import FEATURES, LABEL, Feature
from steps.reports import pages

_CLASSES = {"0": pages.NO, "1": pages.YES}
_BINS = 24


def draw(report: Mapping[str, Any], frame: pd.DataFrame) -> str:
    """Draw the report as one self-contained HTML page.

    Parameters
    ----------
    report : mapping
        ``clinical.preparation.Prepared.report``, which gives every number in the text.
    frame : DataFrame
        The patients kept, which the pictures show.

    Returns
    -------
    str
        HTML without a script and without a reference to anything outside of it.
    """
    name = escape(str(report["file"]))
    colours = {code: pages.STAND_INS[_CLASSES[str(code)]] for code in LABEL.codes}
    legend = " ".join(
        f'<span class="key" style="background: {colours[code]}"></span>{word}'
        for code, word in LABEL.codes.items()
    )
    return pages.page(
        f"Data report: {report['file']}",
        f"<h1>Data report</h1>\n<p><b>{name}</b>, read as {escape(str(report['coding']))} "
        f'coding. <span class="soft">The label: {escape(LABEL.definition)}.</span></p>\n'
        f"{_tiles(report)}"
        f"<h2>Prevalence</h2>\n{_prevalence(report['prevalence'])}"
        f"<h2>Rows dropped</h2>\n{_dropped(report)}"
        f"<h2>Converted</h2>\n{_converted(report)}"
        f"<h2>Measurements and codes</h2>\n{_features(report['features'])}"
        f'<h2>Distributions</h2>\n<p>{legend} <span class="soft">&ensp;share of the patients of '
        "each class whose value is known</span></p>\n"
        f'<div class="pictures">\n{_pictures(report["features"], frame)}</div>\n',
    )


def _tiles(report: Mapping[str, Any]) -> str:
    rows, everyone = report["rows"], report["prevalence"]["all"]
    tiles = {
        "rows read": f"{rows['read']:,}",
        "patients kept": f"{rows['kept']:,}",
        "rows dropped": f"{sum(report['dropped'].values()):,}",
        "with disease": pages.percent(everyone["share"]),
    }
    return pages.tiles(tiles.items())


def _prevalence(prevalence: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        (name, f"{part['patients']:,}", f"{part['diseased']:,}", pages.percent(part["share"]))
        for name, part in prevalence.items()
    ]
    return pages.table(("", "patients", "with disease", "prevalence"), rows)


def _dropped(report: Mapping[str, Any]) -> str:
    reasons = {
        "repeated": "copies of another row",
        "incomplete": "lacking a value that must be known",
        "contradictory": "the same patient with and without disease",
    }
    rows = [(reasons[key], f"{count:,}") for key, count in report["dropped"].items()]
    lacking = [(f"lacking {name}", f"{n:,}") for name, n in report["incomplete"].items()]
    return pages.table(("reason", "rows"), [*rows, *lacking])


def _converted(report: Mapping[str, Any]) -> str:
    items = [escape(str(words)) for words in report["converted"]]
    items += [
        f"{escape(column)}: {count:,} numbers that stand for an unknown value became unknown"
        for column, count in report["disguised"].items()
    ]
    listed = "".join(f"<li>{item}</li>" for item in items)
    return f"<ul>{listed}</ul>\n" if items else "<p>Nothing: the file is canonical.</p>\n"


def _features(features: Mapping[str, Any]) -> str:
    head = ("feature", "unknown", *(f"{word}: median (quartiles)" for word in LABEL.codes.values()))
    rows = []
    for feature in FEATURES:
        figures = features[feature.name]
        unknown = f"{figures['missing']:,} ({pages.percent(figures['missing_share'])})"
        classes = [_summary(figures["by_class"][str(code)], feature) for code in LABEL.codes]
        unit = f' <span class="soft">{escape(feature.unit)}</span>' if feature.unit else ""
        rows.append((f"{escape(feature.title)}{unit}", unknown, *classes))
    return f'<div class="wide">{pages.table(head, rows)}</div>\n'


def _summary(figures: Mapping[str, Any] | None, feature: Feature) -> str:
    if figures is None:
        return "&ndash;"
    if not feature.codes:
        return f"{figures['median']:g} ({figures['q1']:g} to {figures['q3']:g})"
    total = sum(figures.values())
    if not total:
        return "&ndash;"
    most = max(feature.codes, key=lambda code: figures[str(code)])
    return f"{pages.percent(figures[str(most)] / total)} {escape(feature.codes[most])}"


def _pictures(features: Mapping[str, Any], frame: pd.DataFrame) -> str:
    with pages.drawing():
        return "".join(_picture(feature, features[feature.name], frame) for feature in FEATURES)


def _picture(feature: Feature, figures: Mapping[str, Any], frame: pd.DataFrame) -> str:
    unknown = f"{figures['missing']:,} unknown" if figures["missing"] else "all known"
    unit = f"{feature.unit}, " if feature.unit else ""
    svg = _svg(feature, frame, f"{feature.title} by outcome")
    return (
        f"<figure><figcaption>{escape(feature.title)} <code>{feature.name}</code>"
        f"<small>{escape(unit)}{unknown}</small></figcaption>{svg}</figure>\n"
    )


def _svg(feature: Feature, frame: pd.DataFrame, title: str) -> str:
    figure, axes = pages.canvas()
    values, diseased = frame[feature.name].to_numpy(), frame[LABEL.name].to_numpy()
    groups = {name: values[(diseased == int(name)) & ~np.isnan(values)] for name in _CLASSES}
    (_bars if feature.codes else _histogram)(axes, feature, groups)
    pages.tidy(axes)
    return pages.svg(figure, feature.name, title)


def _bars(axes: Axes, feature: Feature, groups: Mapping[str, npt.NDArray[np.float64]]) -> None:
    places = np.arange(len(feature.codes))
    for shift, (name, values) in zip((-0.2, 0.2), groups.items(), strict=True):
        counts = np.array([(values == code).sum() for code in feature.codes])
        axes.barh(places + shift, counts / max(len(values), 1), 0.4, color=_CLASSES[name])
    axes.set_yticks(places, list(feature.codes.values()))
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    axes.locator_params(axis="x", nbins=4)


def _histogram(axes: Axes, feature: Feature, groups: Mapping[str, npt.NDArray[np.float64]]) -> None:
    known = np.concatenate(list(groups.values()))
    low, high = (known.min(), known.max()) if len(known) else (feature.low, feature.high)
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    for name, values in groups.items():
        heights = np.histogram(values, edges)[0] / max(len(values), 1)
        axes.stairs(heights, edges, fill=True, alpha=0.35, color=_CLASSES[name])
        axes.stairs(heights, edges, color=_CLASSES[name], linewidth=1.2)
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    axes.locator_params(axis="y", nbins=4)
