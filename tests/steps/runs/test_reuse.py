"""Work is reused when nothing that decides its outcome has changed, and only then."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from steps.runs import reuse, tracking
from steps.runs.files import ROOT
from steps.runs.parameters import ENTRY_POINTS, Value
from steps.runs.sources import UCI_DIGEST
from steps.runs.tracking import KEY_TAG

TRAINING: dict[str, Value] = {
    p.name: p.read(p.default) for p in ENTRY_POINTS["train"] if p.name != "data"
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the project's sources, from which keys are made during the test."""
    copy = tmp_path / "project"
    for package in ("clinical", "risk_model", "steps"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("*.pyc"))
    shutil.copy(ROOT / "requirements.txt", copy)
    monkeypatch.setattr(reuse, "ROOT", copy)
    return copy


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "patients.parquet"
    path.write_text("patients")
    return path


def train_key(file: Path, **changed: Value) -> str | None:
    return reuse.work_key("train", {**TRAINING, "data": str(file), **changed})


# --- the key ----------------------------------------------------------------------------------


def test_a_key_is_64_hex_digits_and_the_same_each_time(project: Path, file: Path) -> None:
    key = train_key(file)
    assert key is not None
    assert len(key) == 64
    assert int(key, 16)
    assert train_key(file) == key


@pytest.mark.parametrize(("name", "value"), [
    ("model", "extra_trees"),
    ("n_estimators", 101),
    ("max_depth", 6),
    ("min_samples_leaf", 2),
    ("C", 0.1),
    ("calibration", "none"),
    ("test_size", 0.25),
    ("random_state", 43),
])  # fmt: skip
def test_each_parameter_of_training_changes_the_key(
    project: Path, file: Path, name: str, value: Value
) -> None:
    assert train_key(file, **{name: value}) != train_key(file)


def test_no_parameter_of_training_is_forgotten_above() -> None:
    assert set(TRAINING) == {
        "model", "n_estimators", "max_depth", "min_samples_leaf", "C", "calibration",
        "test_size", "random_state",
    }  # fmt: skip


def test_the_order_of_the_parameters_does_not_matter(project: Path, file: Path) -> None:
    backwards = dict(reversed(list({**TRAINING, "data": str(file)}.items())))
    assert reuse.work_key("train", backwards) == train_key(file)


def test_the_content_of_the_input_matters_and_its_place_does_not(
    project: Path, file: Path, tmp_path: Path
) -> None:
    before = train_key(file)
    moved = tmp_path / "elsewhere.parquet"
    shutil.move(file, moved)
    assert train_key(moved) == before
    moved.write_text("others")
    assert train_key(moved) != before


@pytest.mark.parametrize(("step", "source", "changes"), [
    ("train", "steps/train.py", True),
    ("train", "steps/modelling/metrics.py", True),
    ("train", "clinical/frame.py", True),
    ("train", "clinical/schema.py", True),
    ("train", "steps/runs/parameters.py", True),
    ("train", "steps/registry/gate.py", False),
    ("train", "steps/register.py", False),
    ("train", "clinical/cohort.py", False),
    ("train", "risk_model/card/templates/card.j2", True),
    ("train", "risk_model/card/static/card.css", True),
    ("preprocess", "steps/reports/templates/data_report.html.j2", True),
    ("preprocess", "clinical/codings/definitions.py", True),
    ("preprocess", "steps/reports/data_report.py", True),
    ("preprocess", "steps/train.py", False),
    ("preprocess", "steps/modelling/estimators.py", False),
])  # fmt: skip
def test_the_source_of_what_a_step_imports_changes_its_key_and_nothing_else_does(
    project: Path, file: Path, step: str, source: str, changes: bool
) -> None:
    def key() -> str | None:
        return reuse.work_key(step, {"data": str(file)})

    before = key()
    with (project / source).open("a") as module:
        module.write("\n# another line\n")
    assert (key() != before) == changes


def test_the_pinned_requirements_change_every_key(project: Path, file: Path) -> None:
    def keys() -> set[str | None]:
        steps = ("preprocess", "train")
        made = {reuse.work_key(step, {"data": str(file)}) for step in steps}
        return made | {reuse.work_key("download", {"source": "sample"})}

    before = keys()
    assert len(before) == 3
    with (project / "requirements.txt").open("a") as pins:
        pins.write("# another pin\n")
    assert not before & keys()


def test_a_new_file_that_nobody_imports_changes_nothing(project: Path, file: Path) -> None:
    before = train_key(file)
    (project / "steps" / "new.py").write_text("")
    (project / "README.md").write_text("")
    assert train_key(file) == before


def test_a_lazy_import_within_a_function_counts(project: Path, file: Path) -> None:
    with (project / "steps" / "train.py").open("a") as module:
        module.write("\ndef later():\n    from steps import gate\n")
    before = train_key(file)
    with (project / "steps" / "gate.py").open("a") as module:
        module.write("\n# another line\n")
    assert train_key(file) != before


def test_the_sample_is_known_by_its_figures(project: Path) -> None:
    before = reuse.work_key("download", {"source": "sample"})
    assert before is not None
    (project / "clinical" / "cohort.json").write_text("{}")
    assert reuse.work_key("download", {"source": "sample"}) != before


def test_the_uci_archive_is_known_by_its_digest_without_a_request(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("requests.sessions.Session.request")
    assert reuse.work_key("download", {"source": "uci"})


@pytest.mark.parametrize("plan", ["uci", "sample"])
def test_auto_has_the_key_of_what_it_stands_for(
    project: Path, monkeypatch: pytest.MonkeyPatch, plan: str
) -> None:
    monkeypatch.setattr(reuse, "plan", lambda source: plan if source == "auto" else source)
    found = reuse.work_key("download", {"source": "auto"})
    assert found == reuse.work_key("download", {"source": plan})


def test_a_url_has_a_key_where_it_states_its_digest(project: Path) -> None:
    url = "https://example.org/heart.zip"
    pinned = reuse.work_key("download", {"source": f"{url}#sha256={UCI_DIGEST}"})
    assert pinned == reuse.work_key("download", {"source": f"{url}#sha256={UCI_DIGEST.upper()}"})
    assert pinned is not None
    for unstated in (url, f"{url}#table", url.replace("https", "HTTP")):
        assert reuse.work_key("download", {"source": unstated}) is None


def test_a_file_has_the_key_of_its_content(project: Path, file: Path) -> None:
    before = reuse.work_key("download", {"source": str(file)})
    file.write_text("others")
    assert reuse.work_key("download", {"source": str(file)}) != before


@pytest.mark.parametrize("step", ["main", "register", "promote"])
def test_some_steps_are_never_reused(project: Path, step: str) -> None:
    assert reuse.work_key(step, {"run_id": "0" * 32, "name": "x"}) is None


# --- the run ----------------------------------------------------------------------------------

Work = Callable[..., Run]


@pytest.fixture
def work(client: MlflowClient, experiment_id: str, tmp_path: Path) -> Work:
    """Return a function that does a piece of work in a run, with one artifact."""

    def do(key: str = "k" * 64, step: str = "preprocess", where: str = experiment_id) -> Run:
        path = tmp_path / "patients.parquet"
        path.write_text("patients")
        with tracking.step_run(step, {}, None, where) as run:
            run.log_file(path, reuse.DATA_FOLDER)
            run.tag(KEY_TAG, key)
        return client.get_run(run.run_id)

    return do


def find(experiment_id: str, step: str = "preprocess", key: str = "k" * 64) -> str | None:
    found = reuse.find(step, key, experiment_id)
    return found and found.info.run_id


def artifact(run: Run) -> Path:
    return Path(run.info.artifact_uri) / "data" / "patients.parquet"


def test_finished_work_is_found(work: Work, experiment_id: str) -> None:
    assert find(experiment_id) is None
    done = work()
    assert find(experiment_id) == done.info.run_id


def test_of_equal_work_one_that_is_intact_is_found(work: Work, experiment_id: str) -> None:
    older, newer = work(), work()
    assert find(experiment_id) in (older.info.run_id, newer.info.run_id)
    artifact(newer).unlink()
    assert find(experiment_id) == older.info.run_id


@pytest.mark.parametrize("other", [{"step": "train"}, {"key": "l" * 64}])
def test_other_work_is_not_found(work: Work, experiment_id: str, other: dict[str, str]) -> None:
    work(**other)
    assert find(experiment_id) is None


def test_work_in_another_experiment_is_not_found(
    work: Work, client: MlflowClient, experiment_id: str
) -> None:
    work(where=client.create_experiment("other"))
    assert find(experiment_id) is None


def test_deleted_work_is_not_found(work: Work, client: MlflowClient, experiment_id: str) -> None:
    client.delete_run(work().info.run_id)
    assert find(experiment_id) is None


@pytest.mark.parametrize("status", ["FAILED", "KILLED", "RUNNING"])
def test_unfinished_work_is_not_found(
    work: Work, client: MlflowClient, experiment_id: str, status: str
) -> None:
    client.set_terminated(work().info.run_id, status)
    assert find(experiment_id) is None


def test_work_whose_output_was_changed_is_not_found(work: Work, experiment_id: str) -> None:
    artifact(work()).write_text("patientz")
    assert find(experiment_id) is None


def test_work_whose_output_is_gone_is_not_found(work: Work, experiment_id: str) -> None:
    artifact(work()).unlink()
    assert find(experiment_id) is None


def test_work_whose_artifacts_are_all_gone_is_not_found(work: Work, experiment_id: str) -> None:
    shutil.rmtree(work().info.artifact_uri)
    assert find(experiment_id) is None


@pytest.mark.parametrize("outputs", ["{}", None])
def test_work_without_recorded_outputs_is_not_found(
    work: Work, client: MlflowClient, experiment_id: str, outputs: str | None
) -> None:
    done = work()
    if outputs is None:
        client.delete_tag(done.info.run_id, tracking.OUTPUTS_TAG)
    else:
        client.set_tag(done.info.run_id, tracking.OUTPUTS_TAG, outputs)
    assert find(experiment_id) is None


def test_the_key_of_a_runs_output_is_that_of_the_same_file(
    project: Path, work: Work, tmp_path: Path
) -> None:
    done = work()
    file = tmp_path / "copy.parquet"
    file.write_text("patients")
    assert train_key(file) == train_key(file, data=done.info.run_id)


def test_the_output_of_a_run_can_be_fetched_from_anywhere(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = work()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    path = reuse.fetch_output(done, reuse.data_output(done))
    assert path.read_text() == "patients"
    assert os.listdir(elsewhere) == []
