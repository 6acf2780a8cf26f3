"""The pictures are pictures, also of few patients."""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure
from matplotlib.image import imread

from clinical.schema import FEATURE_NAMES
from steps.modelling import metrics
from steps.modelling.evaluation import Measured
from steps.reports import drawing, plots

NAMES = ["confusion_matrix", "roc", "precision_recall", "calibration", "permutation_importance"]


def drawn(n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Return labels, and the probabilities from which they are drawn."""
    random = np.random.default_rng(3)
    p = random.random(n)
    return (random.random(n) < p).astype(np.int8), p


def cohort() -> Measured:
    return Measured(pd.DataFrame(), *drawn(), {"lopsided": False})


@pytest.mark.parametrize("n", [2, 5, 60])
def test_each_is_a_png_that_a_page_can_show_with_something_on_white_that_is_not_cut_off(
    tmp_path: Path, n: int
) -> None:
    y, p = drawn(n)
    y[:2] = 0, 1
    random = np.random.default_rng(1)
    importance = {name: random.normal(0.02, 0.01, 10).tolist() for name in FEATURE_NAMES}
    pictures = plots.draw_all(tmp_path, y, p, metrics.with_intervals(y, p, 1), importance)
    assert [picture.name for picture in pictures] == [f"{name}.png" for name in NAMES]
    for picture in pictures:
        assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        assert 5_000 < picture.stat().st_size < 300_000
        image = imread(picture)[:, :, :3]
        height, width, _ = image.shape
        assert 600 <= width <= 1600
        assert 500 <= height <= 1200
        assert image[0].min() == image[-1].min() == 1
        assert image[:, 0].min() == image[:, -1].min() == 1
        assert (image < 0.9).any(axis=2).mean() > 0.01
    assert pyplot.get_fignums() == []  # none stays open


def test_a_model_that_says_the_same_to_everybody_can_be_drawn(tmp_path: Path) -> None:
    y, p = np.array([0, 1] * 15, np.int8), np.full(30, 0.4)
    found = metrics.with_intervals(y, p, 1)
    assert math.isnan(found["precision"])
    importance = dict.fromkeys(FEATURE_NAMES, [0.0] * 10)
    assert len(plots.draw_all(tmp_path, y, p, found, importance)) == 5


def test_ticks_are_where_they_say() -> None:
    for name, (_, draw) in plots.of_cohort(cohort(), 1).items():
        axes = Figure().subplots()
        draw(axes)
        axes.figure.draw_without_rendering()
        for axis in (axes.xaxis, axes.yaxis):
            told = [tick.get_text() for tick in axis.get_ticklabels()]
            shares = [float(text[:-2]) / 100 for text in told if text.endswith(" %")]
            if shares:
                assert shares == pytest.approx(axis.get_ticklocs()), name


def test_nothing_is_drawn_in_a_colour_that_the_dark_hides() -> None:
    with drawing.colours(on_page=True):
        for name, (_, draw) in plots.of_cohort(cohort(), 1).items():
            picture = drawing.svg(name, name, draw)
            assert set(re.findall(r"#[0-9a-f]{6}\b", picture)) <= {"#ffffff"}, name
