"""From a fresh clone to a registered champion, through ``mlflow run``."""

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

from clinical import archive
from clinical.preparation import prepare
from clinical.schema import FEATURE_NAMES
from risk_model.model import Origin, load
from serving import create_app
from tests.conftest import need
from tests.e2e.clones import QUICK_PIP, Clone
from tests.serving.conftest import FakeFollowing
from tests.serving.service import free_port, wait_for

PLOTS = {"confusion_matrix", "roc", "precision_recall", "calibration", "permutation_importance"}


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


def test_the_real_patients_are_learnt_as_well_as_is_known(cleveland: Clone) -> None:
    run = cleveland.runs("train")[-1]
    found = cleveland.metadata(run)["metrics"] | run.data.metrics
    for area, brier in (("cv_roc_auc_mean", "cv_brier_mean"), ("cv_roc_auc", "cv_brier")):
        assert found[area] >= 0.89
        assert found[brier] <= 0.135


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


def test_pictures_and_model_have_working_copies_and_its_digest_is_right(cleveland: Clone) -> None:
    assert {path.stem for path in (cleveland.path / "plots").glob("*.png")} == PLOTS
    cleveland.run(
        "sha256sum", "--check", "model.pkl.sha256", cwd=cleveland.path / "models"
    ).succeeded()


def test_what_moves_a_real_patients_probability_adds_up_and_goes_the_way_it_should(
    cleveland: Clone, uci_zip: Path, tmp_path: Path
) -> None:
    """Three vessels, and a reversible defect: both raise the probability of whoever has them."""
    model = load(Origin("", "1", directory=str(cleveland.model_of(cleveland.runs("train")[-1]))))
    following = FakeFollowing(tmp_path, model)
    client = create_app({"following": following, "HEART_ACCESS_LOG": ""}).test_client()
    members = archive.open_source(uci_zip)
    name = archive.choose_member(members)
    patients = prepare(members[name], name).frame[list(FEATURE_NAMES)]
    assert len(patients) == 303
    assert (patients[["ca", "thal"]] == 3).sum().min() >= 20
    for patient in patients.astype(object).where(patients.notna(), None).to_dict("records"):
        predicted, found = (
            client.post(path, json=patient).get_json() for path in ("/predict", "/explain")
        )
        assert found["probability"] == predicted["probability"]
        parts = found["contributions"]
        whole = found["base_probability"] + sum(parts.values())
        assert whole == pytest.approx(found["probability"], abs=1e-4)
        assert all(parts[name] > 0 for name in ("ca", "thal") if patient[name] == 3)


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
    git_url: str, tmp_path: Path
) -> None:
    store = Clone(tmp_path / "elsewhere")
    store.path.mkdir()
    done = store.launch("train", project=git_url, max_depth=5, n_estimators=10).succeeded()
    assert "SYNTHETIC SAMPLE" in done.output
    (run,) = store.runs("train")
    assert run.data.tags["data.source"] == "synthetic"
    (prepared,) = store.children(run)
    assert prepared.info.run_name == "preprocess synthetic"
    model = store.client.get_logged_model(run.outputs.model_outputs[0].model_id)
    assert model.tags["data.source"] == "synthetic"

    more = store.launch("evaluate", project=git_url).succeeded()
    assert "there is no champion yet, so it is built first" in more.output
    assert "synthetic_roc_auc" in store.runs("evaluate")[0].data.metrics
    quick = {"source": "sample", "n_estimators": 10}
    again = store.launch("main", project=git_url, **quick).succeeded()
    assert f"train: reused run {run.info.run_id}" in again.output
    assert f"Serve:  mlflow run {git_url} -e serve --env-manager local" in again.output

    said = done.output + more.output + again.output
    for fetched in re.findall(r"Fetching project from \S+ into (\S+)", said):
        shutil.rmtree(fetched)
    assert store.artifacts(run, "plots") == {f"plots/{name}.png" for name in PLOTS}
    session = onnxruntime.InferenceSession(store.model_of(run) / "model.onnx")
    assert session.run(None, {"patients": np.full((1, 13), np.nan, np.float32)})
    local = store.client.download_artifacts(run.info.run_id, "plots/roc.png", str(tmp_path))
    assert Path(local).stat().st_size > 10_000


@pytest.mark.parametrize("manager", ["uv", "virtualenv"])
def test_the_other_environment_managers_work(clone: Clone, manager: str) -> None:
    need(shutil.which("uv" if manager == "uv" else "pyenv"), f"{manager} needs its program")
    clone.env |= {"MLFLOW_ENV_ROOT": str(clone.path.parent / "environments"), **QUICK_PIP}
    done = clone.launch("download", manager=manager, source="sample")
    assert "data.source=synthetic" in done.succeeded().output
