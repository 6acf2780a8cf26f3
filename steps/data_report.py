"""The data report as a page to read: the account of preprocessing, with the distributions."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from clinical.schema import FEATURES, LABEL, Feature

# Drawn in these stand-ins, which the page turns into colours that suit light, dark and paper.
_INK, _NO, _YES = "#010101", "#020202", "#030303"
_STAND_INS = {_INK: "currentColor", _NO: "var(--no)", _YES: "var(--yes)"}
_CLASSES = {"0": _NO, "1": _YES}
_BINS = 24

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --paper: #fff; --soft: #5b6675; --line: #d9dee5;
  --no: #4c86c6; --yes: #d9643a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --paper: #14181e; --soft: #a0abba;
  --line: #333c48; --no: #6ea6e3; --yes: #f08a60; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 2rem 1.25rem 4rem; color: var(--ink);
  background: var(--paper); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .75rem; }
p { margin: .25rem 0; max-width: 46rem; }
.soft, figcaption small { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem;
  margin: 1.25rem 0 0; }
.tiles div { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
.tiles dt { color: var(--soft); font-size: .85rem; }
.tiles dd { margin: 0; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .9rem .3rem 0; text-align: right; }
th:first-child, td:first-child { text-align: left; font-weight: 400; }
thead th { color: var(--soft); font-size: .85rem; font-weight: 400; vertical-align: bottom; }
ul { margin: .25rem 0; padding-left: 1.2rem; }
.key { display: inline-block; width: .8em; height: .8em; border-radius: .15em;
  margin-right: .35em; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr));
  gap: 1.5rem 1.25rem; }
figure { margin: 0; break-inside: avoid; }
figcaption { line-height: 1.3; margin-bottom: .25rem; }
figcaption small { display: block; }
svg { width: 100%; height: auto; display: block; }
@media print { :root { --ink: #000; --paper: #fff; --soft: #444; --line: #bbb; --no: #4c86c6;
  --yes: #d9643a; } body { padding: 0; font-size: 11px; max-width: none; }
  h2 { break-after: avoid; } tr { break-inside: avoid; }
  .pictures { grid-template-columns: repeat(3, 1fr); } .key { print-color-adjust: exact; } }
"""


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
    words = LABEL.codes
    legend = " ".join(
        f'<span class="key" style="background: {_STAND_INS[_CLASSES[str(code)]]}"></span>{word}'
        for code, word in words.items()
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Data report: {name}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>Data report</h1>\n<p><b>{name}</b>, read as {escape(str(report['dialect']))} "
        f'coding. <span class="soft">The label: {escape(LABEL.definition)}.</span></p>\n'
        f"{_tiles(report)}"
        f"<h2>Prevalence</h2>\n{_prevalence(report['prevalence'])}"
        f"<h2>Rows dropped</h2>\n{_dropped(report)}"
        f"<h2>Converted</h2>\n{_converted(report)}"
        f"<h2>Measurements and codes</h2>\n{_features(report['features'])}"
        f'<h2>Distributions</h2>\n<p>{legend} <span class="soft">&ensp;share of the patients of '
        "each class whose value is known</span></p>\n"
        f'<div class="pictures">\n{_pictures(report["features"], frame)}</div>\n'
        "</main>\n</body>\n</html>\n"
    )


def _tiles(report: Mapping[str, Any]) -> str:
    rows, everyone = report["rows"], report["prevalence"]["all"]
    tiles = {
        "rows read": f"{rows['read']:,}",
        "patients kept": f"{rows['kept']:,}",
        "rows dropped": f"{sum(report['dropped'].values()):,}",
        "with disease": _percent(everyone["share"]),
    }
    cells = "".join(
        f"<div><dt>{title}</dt><dd>{value}</dd></div>" for title, value in tiles.items()
    )
    return f'<dl class="tiles">{cells}</dl>\n'


def _prevalence(prevalence: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        (name, f"{part['patients']:,}", f"{part['diseased']:,}", _percent(part["share"]))
        for name, part in prevalence.items()
    ]
    return _table(("", "patients", "with disease", "prevalence"), rows)


def _dropped(report: Mapping[str, Any]) -> str:
    reasons = {
        "repeated": "copies of another row",
        "incomplete": "lacking a value that must be known",
        "contradictory": "the same patient with and without disease",
    }
    rows = [(reasons[key], f"{count:,}") for key, count in report["dropped"].items()]
    lacking = [(f"lacking {name}", f"{n:,}") for name, n in report["incomplete"].items()]
    return _table(("reason", "rows"), [*rows, *lacking])


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
        unknown = f"{figures['missing']:,} ({_percent(figures['missing_share'])})"
        classes = [_summary(figures["by_class"][str(code)], feature) for code in LABEL.codes]
        unit = f' <span class="soft">{escape(feature.unit)}</span>' if feature.unit else ""
        rows.append((f"{escape(feature.title)}{unit}", unknown, *classes))
    return f'<div class="wide">{_table(head, rows)}</div>\n'


def _summary(figures: Mapping[str, Any] | None, feature: Feature) -> str:
    if figures is None:
        return "&ndash;"
    if not feature.codes:
        return f"{figures['median']:g} ({figures['q1']:g} to {figures['q3']:g})"
    total = sum(figures.values())
    if not total:
        return "&ndash;"
    most = max(feature.codes, key=lambda code: figures[str(code)])
    return f"{_percent(figures[str(most)] / total)} {escape(feature.codes[most])}"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    title = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f"<table><thead><tr>{title}</tr></thead><tbody>\n{body}</tbody></table>\n"


def _percent(share: float | None) -> str:
    return "&ndash;" if share is None else f"{100 * share:.1f} %"


def _pictures(features: Mapping[str, Any], frame: pd.DataFrame) -> str:
    # Text stays text, in the page's font; the same data give the same bytes.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "data", "font.size": 9}):
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
    figure = Figure(figsize=(3.6, 2.0), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots()
    values, diseased = frame[feature.name].to_numpy(), frame[LABEL.name].to_numpy()
    groups = {name: values[(diseased == int(name)) & ~np.isnan(values)] for name in _CLASSES}
    (_bars if feature.codes else _histogram)(axes, feature, groups)
    _tidy(axes)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Ids must differ between the pictures of one page.
    text = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{feature.name}-", text)
    for stand_in, colour in _STAND_INS.items():
        text = text.replace(stand_in, colour)
    return text.replace("<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1)


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


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_INK)
    axes.tick_params(colors=_INK, length=2)
