"""Versions that release 0.1 registered are served, explained, scored, judged and rolled back to.

The store was packed by ``tests.recorded.record`` after these commands of release 0.1, on the
synthetic sample: ``main``; ``train`` of max_depth=3 and ``register``; ``train`` of
hist_gradient_boosting, which has no ONNX model, and ``register``; ``promote`` of that version 3.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.recorded import store
from tests.recorded.figures import record_decision, record_evaluation, record_registry
from tests.recorded.patients import as_csv
from tests.recorded.project import Project
from tests.recorded.record import answers_of
from tests.recorded.service import running

ANSWERS: dict[str, Any] = json.loads((store.ARCHIVE.parent / "answers.json").read_text())
FIGURES: dict[str, Any] = json.loads((store.ARCHIVE.parent / "figures.json").read_text())
PATIENTS = ANSWERS["patients"]
CLOSE = 1.1e-6  # answers are rounded to six digits


@pytest.fixture(scope="module")
def project(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a clone of the code of now, with the store of release 0.1 in it."""
    made = Project.clone(pristine, tmp_path_factory.mktemp("upgrade") / "work")
    store.unpack(made.path)
    return made


def succeeded(done: dict[str, Any]) -> dict[str, Any]:
    assert done["code"] == 0, "\n".join(done["stderr"])
    return done


def assert_answers(found: dict[str, Any], version: str) -> None:
    """Hold what a service says of the recorded patients to what release 0.1 said."""
    recorded = ANSWERS[version]
    for old, new in zip(recorded["predict"], found["predict"], strict=True):
        assert new["probability"] == pytest.approx(old["probability"], abs=CLOSE)
        for name in ("prediction", "risk_level", "model_version", "imputed"):
            assert new[name] == old[name]
    for old, new in zip(recorded["explain"], found["explain"], strict=True):
        total = new["base_probability"] + sum(new["contributions"].values())
        assert total == pytest.approx(new["probability"], abs=len(new["contributions"]) * CLOSE)
        assert new["contributions"] == pytest.approx(old["contributions"], abs=CLOSE)


def test_a_champion_is_served_and_explained_and_rolled_back_from(project: Project) -> None:
    with running(project, project.uri) as service:
        service.wait_for_version("registry-v3")
        assert_answers(answers_of(service, PATIENTS), "version 3")
        succeeded(project.step("promote", rollback="true"))
        service.wait_for_version("registry-v1")
        assert_answers(answers_of(service, PATIENTS), "version 1")
    registry = record_registry(project)
    assert registry["aliases"]["champion"] == "1"
    assert registry["versions"]["1"]["stage"] == "Production"
    assert registry["versions"]["3"]["stage"] != "Production"


@pytest.mark.parametrize("version", [2, 3])
def test_a_version_is_scored_with(project: Project, version: int) -> None:
    source, output = project.work / "in.csv", project.work / f"scored-{version}.parquet"
    source.write_text(as_csv(PATIENTS, ANSWERS["fields"]))
    model = f"models:/heart-disease-model/{version}"
    succeeded(project.step("score", input=source, output=output, model_uri=model))
    found = pd.read_parquet(output)
    recorded = pd.DataFrame(ANSWERS[f"version {version}"]["predict"])
    assert set(found["model_version"]) == {f"registry-v{version}"}
    assert list(found["risk_level"]) == list(recorded["risk_level"])
    assert list(found["prediction"]) == list(recorded["prediction"])
    assert list(found["probability"]) == pytest.approx(list(recorded["probability"]), abs=CLOSE)


def figures(cohorts: list[dict[str, Any]]) -> dict[str, float]:
    """Return the figures of an evaluation by the names that metrics had in release 0.1."""
    found: dict[str, float] = dict(cohorts[0]["metrics"])
    for cohort in cohorts:
        site = {"cv": "out_of_fold"}.get(cohort["site"], cohort["site"])
        found[f"{site}_patients"] = cohort["patients"]
        found |= {f"{site}_{name}": value for name, value in cohort["metrics"].items()}
        for group in cohort["groups"]:
            word = group["group"].replace(" ", "_")
            measured = (group["metrics"] or {}).items()
            found |= {f"{site}_{name}_{word}": value for name, value in measured}
    return found


def test_a_version_is_evaluated(project: Project) -> None:
    succeeded(project.step("evaluate", model_uri="models:/heart-disease-model/1"))
    found = figures(record_evaluation(project)["account"]["cohorts"])
    # Intervals are others now: docs/decisions/0021-intervals.md.
    recorded = {k: v for k, v in FIGURES["evaluate"]["metrics"].items() if "_ci_" not in k}
    # Release 0.1 evaluated with the runtime's own threads, which add up the trees in another order
    # than the single thread that serves: probabilities differ by some 1e-7.
    close = pytest.approx(recorded, rel=1e-5, abs=1e-6)
    assert {name: found[name] for name in recorded} == close


def test_the_gate_compares_a_new_version_with_an_old_champion(project: Project) -> None:
    succeeded(project.step("promote", version=3))
    succeeded(project.step("train", model="logistic_regression"))
    succeeded(project.step("register"))
    decision, registry = record_decision(project), record_registry(project)
    assert decision["against"] == "3"
    assert decision["verdict"] in ("passed", "kept", "rejected")
    compared = [rule for rule in decision["rules"] if "ROC AUC, held out, not" in rule["rule"]]
    old = FIGURES["train of boosting"]["metrics"]["roc_auc"]
    assert [rule["champion"] for rule in compared] == [pytest.approx(old, abs=1e-4)]
    assert registry["versions"]["4"]["tags"]["gate.verdict"] == decision["verdict"]
