"""The pictures of the README: ``python -m docs.pictures http://localhost:8000``.

``form.png`` is the page of the service that runs at that address, with its answer to an example;
``architecture.svg`` is drawn here. It takes Chromium and matplotlib.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
INK, PAPER, LINE = "#1f2933", "white", "#52606d"
COLOURS = {"step": "#d9e8f6", "store": "#fbe9c6", "service": "#d8efdd", "person": "#eeeeee"}

# Boxes: what stands in them, the kind, and the centre, width and height on a board of 12 by 6.
BOXES: dict[str, tuple[str, str, float, float, float, float]] = {
    "main": ("main (mlflow run)", "step", 4.2, 5.4, 7.6, 0.7),
    "download": ("download", "step", 1.2, 4.0, 1.6, 0.8),
    "preprocess": ("preprocess", "step", 3.2, 4.0, 1.6, 0.8),
    "train": ("train", "step", 5.2, 4.0, 1.6, 0.8),
    "register": ("register\nand its gate", "step", 7.2, 4.0, 1.6, 0.8),
    "others": ("sweep, evaluate,\nscore, promote", "step", 10.2, 4.0, 2.2, 0.8),
    "store": ("MLflow tracking store and artifacts\nruns, figures, models", "store",
              3.2, 2.3, 5.6, 0.9),
    "registry": ("MLflow model registry\nchallenger, champion", "store", 8.7, 2.3, 4.2, 0.9),
    "follower": ("follower\nfetches and checks", "service", 8.7, 0.7, 2.6, 0.9),
    "workers": ("gunicorn workers\nonnxruntime", "service", 5.0, 0.7, 2.6, 0.9),
    "person": ("form, card,\nAPI clients", "person", 1.6, 0.7, 2.0, 0.9),
}  # fmt: skip
# Arrows: from, to, and whether both ways.
ARROWS = [
    ("download", "preprocess", False), ("preprocess", "train", False),
    ("train", "register", False), ("main", "download", False), ("main", "preprocess", False),
    ("main", "train", False), ("main", "register", False), ("download", "store", False),
    ("preprocess", "store", False), ("train", "store", False), ("register", "registry", False),
    ("others", "registry", True), ("registry", "follower", False), ("follower", "workers", False),
    ("workers", "person", True),
]  # fmt: skip


def _ends(start: str, end: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return where an arrow leaves one box and reaches another."""
    _, _, x1, y1, w1, h1 = BOXES[start]
    _, _, x2, y2, w2, h2 = BOXES[end]
    if y1 == y2:
        way = 1 if x2 > x1 else -1
        return (x1 + way * w1 / 2, y1), (x2 - way * w2 / 2, y2)
    # Straight down: at the middle of the narrower box.
    x = x1 if w1 < w2 else x2
    return (x, y1 - h1 / 2), (x, y2 + h2 / 2)


def draw_architecture(path: Path) -> None:
    """Draw who writes to and reads from what, as SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    # The same file whenever it is drawn, with its words as text.
    mpl.rcParams.update({"svg.hashsalt": "heart", "svg.fonttype": "none"})
    figure = Figure(figsize=(11, 5.5), facecolor=PAPER)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 11.6), ylim=(0, 6))
    axes.axis("off")
    for text, kind, x, y, width, height in BOXES.values():
        corner = (x - width / 2, y - height / 2)
        axes.add_patch(
            FancyBboxPatch(
                corner,
                width,
                height,
                boxstyle="round,pad=0,rounding_size=0.1",
                facecolor=COLOURS[kind],
                edgecolor=LINE,
            )
        )
        axes.text(x, y, text, ha="center", va="center", color=INK, fontsize=11)
    for start, end, both in ARROWS:
        style = "<|-|>" if both else "-|>"
        axes.add_patch(
            FancyArrowPatch(
                *_ends(start, end),
                arrowstyle=style,
                mutation_scale=12,
                color=LINE,
                shrinkA=0,
                shrinkB=0,
            )
        )
    figure.savefig(path, metadata={"Date": None})


def photograph_form(url: str, path: Path) -> None:
    """Fill in the form of a running service, and keep what a person then sees."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium")
    if program is None:
        sys.exit("docs.pictures: Chromium is missing (Debian package chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page: Any = browser.new_page(viewport={"width": 1280, "height": 1170}, color_scheme="light")
        page.goto(url)
        page.get_by_role("button", name="Fill in an example").click()
        page.get_by_role("button", name="Estimate").click()
        page.get_by_role("heading", name="Result").wait_for()
        page.evaluate("() => scrollTo(0, 0)")
        page.screenshot(path=path)
        browser.close()


def main() -> None:
    """Make both pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="where the service runs, such as http://localhost:8000")
    url = parser.parse_args().url
    draw_architecture(DOCS / "architecture.svg")
    photograph_form(url, DOCS / "form.png")


if __name__ == "__main__":
    main()
