"""From a fresh clone to a registered champion, through ``mlflow run``."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import psutil
import pytest
from mlflow.entities import Run

from steps.modelling import clinical_metrics
from steps.modelling.metrics import NAMES
from tests.conftest import need
from tests.e2e.conftest import QUICK_PIP, Clone, model_facts
from tests.serving.service import free_port, wait_for

PLOTS = {"confusion_matrix", "roc", "precision_recall", "calibration", "permutation_importance"}


def onnx_model_of(clone: Clone, run: Run) -> onnxruntime.InferenceSession:
    model = clone.client.get_logged_model(run.outputs.model_outputs[0].model_id)
    return onnxruntime.InferenceSession(Path(model.artifact_location) / "model.onnx")


def test_main_is_one_parent_with_a_nested_run_for_each_step_and_a_launch_that_points_to_it(
    cleveland: Clone,
) -> None:
    parent = cleveland.runs("main")[-1]
    assert parent.info.status == "FINISHED"
    assert parent.info.run_name == "main random_forest uci"
    assert [run.info.run_name for run in cleveland.children(parent)] == [
        "download uci", "preprocess uci", "register version 1 passed", "train random_forest uci",
    ]  # fmt: skip
    launch = cleveland.launches()[-1]
    assert launch.info.status == "FINISHED"
    assert launch.info.run_name == "launch of main"
    assert launch.data.tags["heart.run_id"] == parent.info.run_id
    assert parent.info.run_id in launch.data.tags["mlflow.note.content"]


def test_the_real_patients_are_learnt_as_well_as_is_known_and_few_figures_are_metrics(
    cleveland: Clone,
) -> None:
    run = cleveland.runs("train")[-1]
    found = model_facts(run, cleveland.client)["metrics"]
    for area, brier in (("cv_roc_auc_mean", "cv_brier_mean"), ("cv_roc_auc", "cv_brier")):
        assert (run.data.metrics | found)[area] >= 0.89
        assert (run.data.metrics | found)[brier] <= 0.135
    validated = {f"cv_{name}" for name in clinical_metrics.COMPARED}
    assert set(run.data.metrics) == {*NAMES, *validated}
    assert cleveland.runs("main")[-1].data.metrics == run.data.metrics
    known = model_facts(run, cleveland.client)
    for name in NAMES:
        ends = ("_ci_low", "_ci_high")
        assert {name, *(f"{name}{end}" for end in ends)} <= set(known["metrics"])
        assert {f"cv_{name}_mean", f"cv_{name}_std"} <= set(known["metrics"])
    assert {f"{name}_ci_low" for name in clinical_metrics.NAMES} <= set(
        known["out_of_fold"]["metrics"]
    )


def test_a_model_is_found_by_its_figures_on_the_patients_that_it_has_not_seen(
    cleveland: Clone,
) -> None:
    run = cleveland.runs("train")[-1]
    (trained,) = run.outputs.model_outputs
    found = partial(cleveland.find_models, run)
    assert trained.model_id in found("held-out", "metrics.brier < 0.2")
    assert trained.model_id in found("heart-disease", "metrics.cv_brier < 0.2")
    assert found("heart-disease", "metrics.brier < 0.2") == []
    assert found("held-out", "metrics.brier < 0.01") == []
    registered_by = cleveland.runs("register")[-1].info.run_id
    (registered,) = cleveland.client.get_run(registered_by).inputs.model_inputs
    assert registered.model_id == trained.model_id


def test_the_dataset_is_an_input_of_preprocess_and_train(cleveland: Clone) -> None:
    for step in ("preprocess", "train"):
        run = cleveland.runs(step)[-1]
        inputs = {given.dataset.name: given for given in run.inputs.dataset_inputs}
        assert set(inputs) == {"heart-disease"} | ({"held-out"} if step == "train" else set())
        logged = inputs["heart-disease"]
        assert {tag.key: tag.value for tag in logged.tags}["data.source"] == "uci"
        assert run.data.tags["data.digest"].startswith(logged.dataset.digest)


def test_the_version_is_champion_in_production_and_carries_its_origin(cleveland: Clone) -> None:
    version = cleveland.client.get_model_version("heart-disease-model", "1")
    run = cleveland.runs("train")[-1]
    assert "champion" in version.aliases or version.current_stage == "Archived"
    assert version.run_id == run.info.run_id
    assert version.tags["data.source"] == "uci"
    assert version.tags["gate.verdict"] == "passed"
    assert len(version.tags["git.commit"]) == 40
    assert version.tags["git.dirty"] == "false"
    assert "num > 0" in model_facts(run, cleveland.client)["label"]
    assert "ROC AUC" in version.description


def test_pictures_and_model_have_working_copies_and_its_digest_is_right(cleveland: Clone) -> None:
    assert {path.stem for path in (cleveland.path / "plots").glob("*.png")} == PLOTS
    cleveland.run(
        "sha256sum", "--check", "model.pkl.sha256", cwd=cleveland.path / "models"
    ).succeeded()


def test_a_second_main_reuses_every_step_but_register(cleveland: Clone, uci_zip: Path) -> None:
    trained = len(cleveland.runs("train"))
    done = cleveland.launch("main", source=f"file://{uci_zip}").succeeded()
    for step in ("download", "preprocess", "train"):
        assert f"{step}: reused run" in done.output
    assert len(cleveland.runs("train")) == trained
    (registered,) = cleveland.children(cleveland.runs("main")[0])
    assert registered.info.run_name == "register version 1 passed"


@pytest.fixture
def git_url(pristine: Path) -> Iterator[str]:
    """Serve the project over git's own protocol."""
    port = free_port()
    words = ["git", "daemon", "--export-all", "--listen=127.0.0.1", f"--port={port}"]
    daemon = subprocess.Popen([*words, f"--base-path={pristine.parent}", str(pristine.parent)])
    url = f"git://127.0.0.1:{port}/{pristine.name}"

    def serves() -> bool:
        asked = ["git", "ls-remote", url]
        return subprocess.run(asked, check=False, capture_output=True).returncode == 0

    try:
        wait_for(serves, what="git daemon")
        yield url
    finally:
        for child in psutil.Process(daemon.pid).children():
            child.terminate()
        daemon.terminate()
        daemon.wait(60)


def test_train_and_evaluate_from_a_git_url_build_what_they_need_and_lose_nothing(
    clone: Clone, git_url: str, tmp_path: Path
) -> None:
    store = Clone(tmp_path / "elsewhere", clone.env)
    store.path.mkdir()
    done = store.launch("train", project=git_url, max_depth=5, n_estimators=10).succeeded()
    assert "SYNTHETIC SAMPLE" in done.output
    (run,) = store.runs("train")
    assert run.data.tags["data.source"] == "synthetic"
    (prepared,) = store.children(run)
    assert prepared.info.run_name == "preprocess synthetic"
    model = store.client.get_logged_model(run.outputs.model_outputs[0].model_id)
    assert model.tags["data.source"] == "synthetic"
    assert store.launches()[0].data.tags["heart.run_id"] == run.info.run_id

    more = store.launch("evaluate", project=git_url).succeeded()
    assert "there is no champion yet, so it is built first" in more.output
    assert "synthetic_roc_auc" in store.runs("evaluate")[0].data.metrics
    again = store.launch("main", project=git_url, source="sample").succeeded()
    assert f"Serve:  mlflow run {git_url} -e serve --env-manager local" in again.output

    said = done.output + more.output + again.output
    for fetched in re.findall(r"Fetching project from \S+ into (\S+)", said):
        shutil.rmtree(fetched)
    assert store.artifacts(run, "plots") == {f"plots/{name}.png" for name in PLOTS}
    assert onnx_model_of(store, run).run(None, {"patients": np.full((1, 13), np.nan, np.float32)})
    local = store.client.download_artifacts(run.info.run_id, "plots/roc.png", str(tmp_path))
    assert Path(local).stat().st_size > 10_000


@pytest.mark.parametrize("manager", ["uv", "virtualenv"])
def test_the_other_environment_managers_work(clone: Clone, manager: str) -> None:
    need(shutil.which("uv" if manager == "uv" else "pyenv"), f"{manager} needs its program")
    clone.env |= {"MLFLOW_ENV_ROOT": str(clone.path.parent / "environments"), **QUICK_PIP}
    done = clone.launch("download", manager=manager, source="sample")
    assert "data.source=synthetic" in done.succeeded().output
