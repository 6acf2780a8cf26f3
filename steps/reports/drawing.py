"""Pictures: SVG in the colours of the page that they are on, or PNG files."""

import io
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from matplotlib.ticker import MaxNLocator

Draw = Callable[[Axes], None]

# Drawn in these stand-ins, which the page turns into colours that suit light, dark and paper.
STAND_INS = {
    "#010101": "currentColor",
    "#020202": "var(--down)",
    "#030303": "var(--up)",
    "#040404": "var(--soft)",
}
ALONE = ("#1a2230", "#0b57a4", "#b5500b", "#4c586a")
NO, YES, SOFT = "C0", "C1", "C2"
"""The colours of patients without and with the disease, and of what is beside the matter."""


def colours(*, on_page: bool) -> AbstractContextManager[None]:
    """Set matplotlib up for pictures of a page, or for those that stand alone.

    Text stays text, in the page's font; the same data give the same bytes.
    """
    ink, *cycle = STAND_INS if on_page else ALONE
    return mpl.rc_context({
        "svg.fonttype": "none", "svg.hashsalt": "data", "font.size": 10,
        "text.color": ink, "axes.labelcolor": ink, "axes.edgecolor": ink, "axes.titlesize": 11,
        "xtick.color": ink, "ytick.color": ink, "xtick.major.size": 2, "ytick.major.size": 2,
        "axes.prop_cycle": cycler(color=cycle), "legend.frameon": False,
        "axes.spines.top": False, "axes.spines.right": False,
    })  # fmt: skip


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Return an empty picture, its size in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def in_percent(axes: Axes, *names: str) -> None:
    """Write the ticks of axes (x, y) in percent."""
    for name in names:
        axis = getattr(axes, f"{name}axis")
        axis.set_major_formatter(lambda share, _: f"{100 * share:.3g} %")
        axis.set_major_locator(MaxNLocator(5))


def legend(axes: Axes) -> None:
    """Explain what is drawn below the picture, where it lies on nothing."""
    if drawn := axes.get_legend():
        drawn.remove()
    handles, labels = axes.get_legend_handles_labels()
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.legend(handles, labels, loc="outside lower center", ncols=2)


def outcomes(axes: Axes, edges: Any, probabilities: dict[str, Any]) -> None:
    """Draw how values are spread among those without and with the disease, by the label's name."""
    for colour, (label, values) in zip((NO, YES), probabilities.items(), strict=True):
        heights = np.histogram(values, edges)[0] / max(len(values), 1)
        axes.stairs(heights, edges, fill=True, alpha=0.35, color=colour, label=label)
        axes.stairs(heights, edges, color=colour, lw=1.2)


def svg(key: str, title: str, draw: Draw, width: float = 7.2, height: float = 4.8) -> str:
    """Draw a picture as SVG inside HTML; `key` makes its ids unique on the page."""
    figure, axes = canvas(width, height)
    draw(axes)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Ids must differ between the pictures of one page.
    text = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{key.replace('_', '-')}-", text)
    for stand_in, colour in STAND_INS.items():
        text = text.replace(stand_in, colour)
    return text.replace("<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1)
