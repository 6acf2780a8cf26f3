"""Pages to read: self-contained HTML with tables and pictures, for screens, the dark and paper."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from html import escape

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Drawn in these stand-ins, which the page turns into colours that suit light, dark and paper.
INK, NO, YES, SOFT = "#010101", "#020202", "#030303", "#040404"
STAND_INS = {
    INK: "currentColor",
    NO: "var(--no)",
    YES: "var(--yes)",
    SOFT: "var(--soft)",
}

STYLE = """
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
p, li { overflow-wrap: anywhere; }
.soft, figcaption small { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem;
  margin: 1.25rem 0 0; }
.tiles div { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
.tiles dt { color: var(--soft); font-size: .85rem; }
.tiles dd { margin: 0; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
.tiles small { display: block; color: var(--soft); font-size: .85rem; line-height: 1.3; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .9rem .3rem 0; text-align: right; }
th:first-child, td:first-child { text-align: left; font-weight: 400; }
thead th { color: var(--soft); font-size: .85em; font-weight: 400; vertical-align: bottom; }
ul { margin: .25rem 0; padding-left: 1.2rem; }
.key { display: inline-block; width: .8em; height: .8em; border-radius: .15em;
  margin-right: .35em; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr));
  gap: 1.5rem 1.25rem; }
.pictures.four { grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); }
.figures td:not(:first-child) { white-space: nowrap; }
.figures td:first-child { min-width: 6.5rem; }
figure { margin: 0; break-inside: avoid; }
figcaption { line-height: 1.3; margin-bottom: .25rem; }
figcaption small { display: block; }
svg { width: 100%; height: auto; display: block; }
@media print { :root { --ink: #000; --paper: #fff; --soft: #444; --line: #bbb; --no: #4c86c6;
  --yes: #d9643a; } body { padding: 0; font-size: 11px; max-width: none; }
  h2 { break-after: avoid; } tr { break-inside: avoid; }
  .pictures, .pictures.four { grid-template-columns: repeat(3, 1fr); }
  .figures td:not(:first-child) { white-space: normal; } .wide { overflow: visible; }
  .key { print-color-adjust: exact; } }
"""


def page(title: str, body: str) -> str:
    """Return a whole HTML page, without a script and without a reference to anything outside."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"{body}</main>\n</body>\n</html>\n"
    )


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table; cells are HTML."""
    title = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f"<table><thead><tr>{title}</tr></thead><tbody>\n{body}</tbody></table>\n"


def percent(share: float | None) -> str:
    """Return a share in words of a page."""
    return "&ndash;" if share is None else f"{100 * share:.1f} %"


def tiles(values: Iterable[tuple[str, str]]) -> str:
    """Return figures to see first, each with its title."""
    cells = "".join(f"<div><dt>{title}</dt><dd>{value}</dd></div>" for title, value in values)
    return f'<dl class="tiles">{cells}</dl>\n'


@contextmanager
def drawing() -> Iterator[None]:
    """Set matplotlib up for pictures of a page.

    Text stays text, in the page's font; the same data give the same bytes.
    """
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "data", "font.size": 9}):
        yield


def canvas(width: float = 3.6, height: float = 2.0) -> tuple[Figure, Axes]:
    """Return an empty picture, its size in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.subplots()


def tidy(axes: Axes) -> None:
    """Take away what a picture can do without."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.tick_params(colors=INK, length=2)


def svg(figure: Figure, key: str, title: str) -> str:
    """Return a picture as SVG inside HTML; `key` tells it from the others of the page."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Ids must differ between the pictures of one page.
    text = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{key}-", text)
    for stand_in, colour in STAND_INS.items():
        text = text.replace(stand_in, colour)
    return text.replace("<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1)
