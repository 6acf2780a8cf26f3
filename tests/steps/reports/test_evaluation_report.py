"""An evaluation is shown on one page."""

import re
from typing import Any

import numpy as np
import pytest

from clinical.hospitals import Cohort
from clinical.schema import LABEL
from risk_model.card.wording import between
from risk_model.metadata import Metadata
from steps.modelling import evaluation
from steps.modelling.evaluation import Measured
from steps.reports import evaluation_report
from steps.work.evaluate import leading_first, summary
from tests.steps.conftest import Patients
from tests.steps.reports.html import require_standing_alone

Facts = dict[str, Any]
SEED = 1


def measured(sample: Patients, site: str, rows: slice, **hidden: float) -> Measured:
    """Measure patients whose probabilities are right more often than not."""
    features, y = sample
    patients = features.assign(**{LABEL.name: y}, **hidden)[rows]
    noise = np.random.default_rng(SEED).normal(0, 1, len(patients))
    p = 1 / (1 + np.exp(-(1.5 * (2 * y[rows] - 1) + noise)))
    return evaluation.measure(Cohort(site, site.title(), patients, len(patients)), p, SEED)


@pytest.fixture(scope="module")
def cohorts(sample: Patients) -> list[Measured]:
    """Return held-out patients, all out of fold, and a hospital where nearly everybody is ill."""
    features, y = sample
    ill = np.argsort(-y, kind="stable")
    alps = Patients(features.iloc[ill], y[ill])
    return [
        measured(sample, "here", slice(60)),
        measured(sample, "cv", slice(None)),
        measured(alps, "alps", slice(int(y.sum()) + 10), ca=np.nan),
    ]


@pytest.fixture(scope="module")
def page(cohorts: list[Measured], facts: Facts) -> str:
    cohorts[0].notes.append("A note <of> the first.")
    return draw(leading_first(cohorts), {**facts, "git": {"commit": "c" * 40}})


def draw(cohorts: list[Measured], facts: Facts, source: str = "uci") -> str:
    about = {"uri": "models:/x/1", "metadata": Metadata.of(facts), "source": source}
    return evaluation_report.draw(about, cohorts, SEED)


def test_the_cross_validated_patients_lead_and_every_figure_has_its_interval(
    page: str, cohorts: list[Measured]
) -> None:
    assert page.index("<h2>Cv</h2>") < page.index("<h2>Here</h2>")
    (tiles,) = re.findall(r'<dl class="tiles">(.*?)</dl>', page, re.DOTALL)
    for name in ("roc_auc", "observed_expected"):
        value, _, interval = between(cohorts[1].summary["metrics"], name, 2).partition(" (")
        assert f"{value}<small>{interval[:-1]}</small>" in tiles
    assert tiles.count("<small>") == tiles.count("<dd>")
    lines = summary("models:/x/1", cohorts).splitlines()
    assert [line.split()[0] for line in lines[2:-1]] == ["Cv", "Here", "Alps"]


def test_the_page_says_which_model_it_was_and_what_each_cohort_lacks(
    page: str, facts: Facts
) -> None:
    require_standing_alone(page)
    for words in (
        facts["run_id"], "c" * 40, facts["trained_at"], "Major vessels coloured 100 %",
        "A note &lt;of&gt; the first.", "of these patients have the disease",
        "Risk bands", "Unknown findings", "Not for clinical use", "What the patients were like",
    ):  # fmt: skip
        assert words in page, words
    # No decision is worth a curve where nearly everybody is ill.
    assert page.count(">Calibration</figcaption>") == 3
    assert page.count(">Decision curve</figcaption>") == 2


def test_the_page_of_a_foreign_model_of_synthetic_patients_does_without_its_metadata(
    cohorts: list[Measured],
) -> None:
    html = draw(cohorts[:1], {}, "synthetic")
    assert "SYNTHETIC" in html
    assert "Unknown findings" not in html
    assert "Evaluation of a model" in html
