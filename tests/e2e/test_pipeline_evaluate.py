"""``evaluate`` measures any model on patients that it has not seen, as the README says."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow.entities import Run

from tests.e2e.browser import VIEWS, fits, violations
from tests.e2e.clones import Clone

FIRST = "models:/heart-disease-model/1"
"""The model of the UCI archive, whoever is champion by now."""


@pytest.fixture(scope="module")
def evaluated(cleveland: Clone) -> Clone:
    """Return a clone in which ``main`` and then ``evaluate`` ran on the UCI archive."""
    cleveland.launch("evaluate", model_uri=FIRST).succeeded()
    return cleveland


@pytest.fixture(scope="module")
def run(evaluated: Clone) -> Run:
    return evaluated.runs("evaluate", "FINISHED")[-1]


def cohorts_of(clone: Clone) -> dict[str, Any]:
    """Return the account of the last evaluation, by sites."""
    account = json.loads((clone.path / "reports" / "evaluation.json").read_text())
    return {cohort["site"]: cohort for cohort in account["cohorts"]}


@pytest.fixture(scope="module")
def sites(evaluated: Clone) -> dict[str, Any]:
    return cohorts_of(evaluated)


def test_every_site_has_its_metrics_and_they_agree_with_what_is_known(
    run: Run, sites: dict[str, Any]
) -> None:
    found = run.data.metrics
    known = {"cleveland": 0.904, "hungarian": 0.892, "switzerland": 0.766, "va": 0.714}
    for site, area in known.items():
        measured = sites[site]["metrics"]
        assert measured["roc_auc"] == found[f"{site}_roc_auc"]
        assert measured["roc_auc_ci_low"] <= area <= measured["roc_auc_ci_high"], site
        assert f"{site}_calibration_slope" in found
    assert found["calibration_slope"] == found["cleveland_calibration_slope"]
    assert found["cv_roc_auc"] == pytest.approx(0.904, abs=0.02)
    assert "switzerland_sensitivity" not in found
    assert "switzerland_brier" not in found
    assert "hungarian_sensitivity" in found
    assert len(found) <= 40


def test_each_cohort_is_an_input_by_which_the_model_is_found(evaluated: Clone, run: Run) -> None:
    trained = evaluated.runs("train")[-1]
    (model,) = evaluated.client.get_run(run.info.run_id).inputs.model_inputs
    assert model.model_id == trained.outputs.model_outputs[0].model_id
    used, known = (
        {given.dataset.name: given.dataset.digest for given in one.inputs.dataset_inputs}
        for one in (run, trained)
    )
    assert set(used) == {"held-out", "heart-disease", "hungarian", "switzerland", "va"}
    # The same patients are the same dataset in both steps.
    assert known.items() <= used.items()
    found = partial(evaluated.find_models, run)
    assert model.model_id in found("hungarian", "metrics.brier < 0.2")
    assert model.model_id in found("switzerland", "metrics.roc_auc > 0.7")
    assert found("hungarian", "metrics.brier < 0.01") == []


def test_what_a_hospital_lacks_and_the_model_without_it_and_small_groups_are_told(
    sites: dict[str, Any],
) -> None:
    for site, area in {"hungarian": 0.882, "switzerland": 0.784, "va": 0.750}.items():
        found = sites[site]["refitted"]["metrics"]
        assert found["roc_auc_ci_low"] <= area <= found["roc_auc_ci_high"], site
        assert sites[site]["refitted"]["without"] == sites[site]["mostly_missing"]
    assert sites["hungarian"]["mostly_missing"] == ["slope", "ca", "thal"]
    assert sites["switzerland"]["missing"]["chol"] == 1
    women = {g["group"]: g for g in sites["va"]["groups"]}["female"]
    assert women["patients"] == 6
    assert women["metrics"] is None


@pytest.fixture(scope="module")
def pages(evaluated: Clone) -> dict[str, Path]:
    """Return the pages that the pipeline leaves for people."""
    trained = evaluated.runs("train")[-1].info.run_id
    return {
        "evaluation": evaluated.path / "reports" / "evaluation.html",
        "data report": evaluated.path / "data" / "data_report.html",
        "model card": Path(evaluated.client.download_artifacts(trained, "card.html")),
    }


each_page = pytest.mark.parametrize("name", ["evaluation", "data report", "model card"])


@each_page
@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_a_page_can_be_read_by_everybody_and_on_a_phone(
    pages: dict[str, Path], browser: Any, name: str, width: int, scheme: str
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto(pages[name].as_uri())
    assert violations(page) == []
    assert fits(page)
    page.close()


@each_page
def test_a_page_fits_the_paper_it_is_printed_on(
    pages: dict[str, Path], browser: Any, name: str
) -> None:
    """As wide as A4 between its margins; pictures and rows are not cut, and ink is dark."""
    page = browser.new_page(viewport={"width": 718, "height": 1040}, color_scheme="dark")
    page.goto(pages[name].as_uri())
    page.emulate_media(media="print")
    assert fits(page)
    cut = "() => [...document.querySelectorAll('table')].filter(t => t.offsetWidth > innerWidth)"
    assert page.evaluate(f"({cut})().length") == 0
    assert page.evaluate("() => getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.close()


def test_the_model_carries_its_card_bands_reference_and_hospitals(evaluated: Clone) -> None:
    known = evaluated.metadata(evaluated.runs("train")[-1])
    assert [band["level"] for band in known["risk_bands"]] == ["Low", "Moderate", "High"]
    assert sum(band["observed"]["patients"] for band in known["risk_bands"]) == 303
    assert ["ca", "thal"] in [found["unknown"] for found in known["unknown_patterns"]]
    assert len(known["reference"]["values"]) == len(known["importance"]) == 13
    assert [site["site"] for site in known["elsewhere"]] == ["hungarian", "switzerland", "va"]


def test_patients_that_the_model_has_trained_on_and_near_copies_of_them_are_left_out(
    evaluated: Clone, data_dir: Path, tmp_path: Path
) -> None:
    patients = pd.read_csv(data_dir / "kaggle_heart_303.csv", encoding="utf-8-sig")
    patients.loc[::2, "chol"] += 1  # every other patient is a near-copy
    changed = tmp_path / "changed.csv"
    patients.to_csv(changed, index=False)
    evaluated.step("evaluate", data=changed, model_uri=FIRST).succeeded()
    (cohort,) = cohorts_of(evaluated).values()
    assert 50 <= cohort["patients"] <= 61
    assert any("trained on are left out" in note for note in cohort["notes"])
