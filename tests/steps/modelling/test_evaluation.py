"""An evaluation measures every cohort as far as it goes, and shows it on one page."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from clinical.hospitals import Cohort
from clinical.schema import LABEL
from steps.modelling import evaluation
from steps.reports import evaluation_plots, evaluation_report

Patients = tuple[pd.DataFrame, np.ndarray]


def cohort(sample: Patients, site: str = "here", **hidden: float) -> Cohort:
    features, y = sample
    patients = features.assign(**hidden).assign(**{LABEL.name: y})
    return Cohort(site, site.title(), patients, len(patients))


def guess(one: Cohort, seed: int = 1) -> np.ndarray:
    """Return probabilities that are right more often than not."""
    y = one.patients[LABEL.name].to_numpy()
    noise = np.random.default_rng(seed).normal(0, 1, len(y))
    return 1 / (1 + np.exp(-(1.5 * (2 * y - 1) + noise)))


@pytest.fixture
def measured(sample: Patients) -> list[evaluation.Measured]:
    here, there = cohort(sample), cohort(sample, "there", ca=np.nan, thal=np.nan)
    ill = there.patients[LABEL.name] == 1
    swiss = Cohort("alps", "Alps", there.patients[ill | (np.arange(len(ill)) < 20)], 200)
    found = [evaluation.measure(one, guess(one), 1) for one in (here, there, swiss)]
    found[1].notes.append("A note <of> the second.")
    return found


def test_metrics_are_named_after_the_site_and_those_of_the_first_stand_alone(
    measured: list[evaluation.Measured],
) -> None:
    found = evaluation.metrics_of(measured)
    assert found["here_roc_auc"] == found["roc_auc"]
    assert {"there_roc_auc", "there_calibration_slope", "there_net_benefit_20"} <= set(found)
    assert {"here_roc_auc_ci_low", "here_sensitivity_female", "alps_patients"} <= set(found)
    assert all(np.isfinite(value) for value in found.values())


def test_where_nearly_everybody_is_ill_ranking_and_calibration_are_all_that_is_told(
    measured: list[evaluation.Measured],
) -> None:
    found = evaluation.metrics_of(measured)
    told = {name for name in found if name.startswith("alps_") and "_ci_" not in name}
    assert told == {
        "alps_roc_auc", "alps_calibration_slope", "alps_calibration_intercept",
        "alps_observed_expected", "alps_patients",
    }  # fmt: skip


def test_what_a_cohort_lacks_is_left_out_of_the_refitted_model(sample: Patients) -> None:
    values: dict[str, Any] = {
        "model": "random_forest", "n_estimators": 15, "max_depth": 4, "min_samples_leaf": 1,
        "C": 1.0, "random_state": 1, "calibration": "none",
    }  # fmt: skip
    lacking = cohort(sample, "there", ca=np.nan, thal=np.nan)
    found = evaluation.refitted(values, cohort(sample).patients, lacking, 1)
    assert found is not None
    assert found["without"] == ["ca", "thal"]
    # Asked about what it was fitted on, without two columns: still good.
    assert found["metrics"]["roc_auc"] > 0.85
    assert evaluation.refitted(values, cohort(sample).patients, cohort(sample), 1) is None


def test_every_calibration_is_tried_on_the_same_patients(sample: Patients) -> None:
    values: dict[str, Any] = {
        "model": "logistic_regression", "n_estimators": 1, "max_depth": 1, "min_samples_leaf": 1,
        "random_state": 1, "calibration": "none",
    }  # fmt: skip
    found = evaluation.calibrations(values, cohort(sample).patients, 1)
    assert list(found) == ["none", "sigmoid", "isotonic"]
    assert len({m["brier"] for _, m in found.values()}) == 3


def page(measured: list[evaluation.Measured], facts: dict[str, Any]) -> str:
    about = {"uri": "models:/x/1", "facts": facts, "source": "uci"}
    return evaluation_report.draw(about, measured)


def test_the_page_is_well_formed_and_needs_nothing_from_elsewhere(
    measured: list[evaluation.Measured], facts: dict[str, Any]
) -> None:
    html = page(measured, facts)
    assert not re.search(r"<script|<link|<img|src=|@import|https?://(?!www\.w3\.org)", html)
    for picture in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        ET.fromstring(picture)
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))


def test_the_page_tells_of_every_cohort_and_what_it_lacks(
    measured: list[evaluation.Measured], facts: dict[str, Any]
) -> None:
    html = page(measured, facts)
    for words in ("<h2>Here</h2>", "<h2>There</h2>", "Major vessels coloured 100 %",
                  "A note &lt;of&gt; the second.", "of these patients have the disease",
                  "Risk bands", "Unknown findings", "Not for clinical use"):  # fmt: skip
        assert words in html


def test_the_page_says_which_model_it_was_and_gives_no_figure_without_its_interval(
    measured: list[evaluation.Measured], facts: dict[str, Any]
) -> None:
    html = page(measured, {**facts, "run_id": "r" * 32, "git": {"commit": "c" * 40}})
    assert "r" * 32 in html
    assert "c" * 40 in html
    assert facts["trained_at"] in html
    (tiles,) = re.findall(r'<dl class="tiles">(.*?)</dl>', html)
    found = measured[0].found["metrics"]
    for name in ("roc_auc", "sensitivity"):
        ends = f"{found[f'{name}_ci_low']:.2f} to {found[f'{name}_ci_high']:.2f}"
        assert f"{found[name]:.2f}<br><small>{ends}</small>" in tiles
    assert tiles.count("<small>") == tiles.count("<dd>") - 1  # a count of patients has none


def test_ticks_are_where_they_say(measured: list[evaluation.Measured]) -> None:
    one = measured[0]
    for name, (_, draw) in evaluation_plots.drawings(one.y, one.p).items():
        axes = Figure().subplots()
        draw(axes, evaluation_plots.ALONE)
        axes.set_yticks([0, 0.025, 0.05, 0.075])  # as where no bar is high
        axes.figure.draw_without_rendering()
        said = [tick.get_text() for tick in axes.get_yticklabels()]
        shares = [float(text[:-2]) / 100 for text in said if text.endswith(" %")]
        if shares:
            assert shares == pytest.approx(axes.get_yticks()), name


def test_no_legend_lies_on_the_calibration_it_explains() -> None:
    y = np.ones(120, int)  # as in Switzerland: observed shares above all predicted
    y[::12] = 0
    p = np.linspace(0.1, 0.9, len(y))
    figure = Figure((3.6, 2.7), layout="constrained")
    axes = figure.subplots()
    evaluation_plots.calibration(axes, evaluation_plots.ALONE, y, p)
    figure.draw_without_rendering()
    legend = axes.get_legend()
    assert legend is not None
    box = legend.get_window_extent()
    points = axes.transData.transform(axes.containers[0].lines[0].get_xydata())
    assert not any(box.contains(*point) for point in points)


def test_the_page_of_a_foreign_model_does_without_its_facts(
    measured: list[evaluation.Measured],
) -> None:
    html = page(measured[:1], {})
    assert "Risk bands" not in html
    assert "Evaluation of a model" in html


def test_the_page_of_a_synthetic_model_says_so(
    measured: list[evaluation.Measured], facts: dict[str, Any]
) -> None:
    about = {"uri": "models:/x/1", "facts": facts, "source": "synthetic"}
    assert "SYNTHETIC" in evaluation_report.draw(about, measured)


def test_the_decision_curve_is_not_drawn_where_nearly_everybody_is_ill(
    measured: list[evaluation.Measured],
) -> None:
    y, p = measured[0].y, measured[0].p
    assert set(evaluation_plots.drawings(y, p)) - set(
        evaluation_plots.drawings(y, p, lopsided=True)
    ) == {"decision_curve"}


def test_groups_that_are_too_small_are_not_drawn() -> None:
    axes = Figure().subplots()
    rows = [
        {"group": "all", "patients": 50, "metrics": {"roc_auc": 0.9, "roc_auc_ci_low": 0.8,
                                                    "roc_auc_ci_high": 0.95}},
        {"group": "few", "patients": 5, "metrics": None},
    ]  # fmt: skip
    evaluation_plots.forest(axes, evaluation_plots.ALONE, rows, "roc_auc")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["all (50)"]
