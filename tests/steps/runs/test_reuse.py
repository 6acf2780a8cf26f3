"""Work is reused when nothing that decides its outcome has changed, and only then."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from steps.parameters.declaration import check
from steps.parameters.entry_points import Download, Main, Preprocess, Promote, Register, Train
from steps.runs import provenance, reuse
from steps.runs.files import ROOT
from steps.runs.reuse import work_key
from steps.runs.sources import UCI_DIGEST
from steps.runs.tracking import finished
from steps.runs.tracking.opening import open_run
from steps.runs.tracking.tags import KEY_TAG, OUTPUTS_FILE, OUTPUTS_TAG
from tests.servers import closed_port

# --- the key ----------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "patients.parquet"
    path.write_text("patients")
    return path


@pytest.fixture
def training(file: Path) -> Train:
    return check(Train, {"data": str(file)})


OTHER = {
    "model": "extra_trees", "n_estimators": 101, "max_depth": 6, "min_samples_leaf": 2, "C": 0.1,
    "calibration": "none", "test_size": 0.25, "random_state": 43,
    "base": "models:/another-model@champion",
}  # fmt: skip


def test_each_parameter_of_training_changes_the_key(training: Train) -> None:
    assert {*OTHER, "data"} == set(vars(training))
    keys = {work_key(replace(training, **{name: value})) for name, value in OTHER.items()}
    assert len(keys | {work_key(training)}) == len(OTHER) + 1


def test_a_stated_coding_changes_the_key(file: Path) -> None:
    for entry, name in ((Download, "source"), (Preprocess, "data")):
        keys = {work_key(check(entry, {name: str(file), "coding": c})) for c in ("auto", "uci")}
        assert len(keys) == 2


@pytest.mark.parametrize(("entry", "name", "more"), [
    (Train, "data", {}), (Download, "source", {}), (Preprocess, "extra", {"data": __file__}),
])  # fmt: skip
def test_the_content_of_a_file_matters_and_its_place_does_not(
    file: Path, tmp_path: Path, entry: type, name: str, more: dict[str, str]
) -> None:
    def key(path: object) -> str | None:
        return work_key(check(entry, {**more, name: str(path)}))

    before = key(file)
    moved = tmp_path / "elsewhere.parquet"
    shutil.move(file, moved)
    assert key(moved) == before is not None
    assert not more or key("") != before
    moved.write_text("others")
    assert key(moved) != before


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the project, whose sources may be changed and are those of the keys."""
    copy = tmp_path / "project"
    for package in ("clinical", "risk_model", "steps"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("*.pyc"))
    shutil.copy(ROOT / "requirements.txt", copy)
    for module in (provenance, reuse):
        monkeypatch.setattr(module, "ROOT", copy)
    return copy


WORK = {
    "download": check(Download, {"source": "sample"}),
    "preprocess": check(Preprocess, {"data": __file__}),
    "train": check(Train, {"data": __file__}),
}


@pytest.mark.parametrize(("step", "source", "changes"), [
    ("train", "steps/train.py", True),
    ("train", "steps/work/train.py", True),
    ("train", "steps/modelling/metrics.py", True),
    ("train", "clinical/schema.py", True),
    ("train", "steps/registry/gate.py", False),
    ("train", "steps/work/download.py", False),
    ("train", "README.md", False),
    ("preprocess", "clinical/codings/recognition.py", True),
    ("preprocess", "steps/reports/templates/new/page.html", True),
    ("preprocess", "steps/modelling/estimators.py", False),
    ("download", "clinical/cohort.json", True),
    ("download", "requirements.txt", True),
])  # fmt: skip
def test_what_the_work_is_made_of_changes_its_key_and_nothing_else_does(
    project: Path, step: str, source: str, changes: bool
) -> None:
    (project / source).parent.mkdir(parents=True, exist_ok=True)
    before = work_key(WORK[step])
    with (project / source).open("a") as part:
        part.write("\n# another line\n")
    assert (work_key(WORK[step]) != before) == changes


@pytest.mark.parametrize("step", WORK)
def test_the_key_covers_every_module_that_the_work_imports(step: str) -> None:
    code = f"""
import json, sys
from importlib import import_module
from steps import {step}
from steps.runs.provenance import digests_of_sources
import_module("steps.work.{step}")
files = [getattr(module, "__file__", None) or "" for module in sys.modules.values()]
print(json.dumps([files, [*digests_of_sources("{step}")]]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    files, covered = json.loads(done.stdout)
    paths = [Path(file) for file in files]  # the environment may lie in the project's own folder
    ours = {
        path for path in paths if path.is_relative_to(ROOT) and not path.is_relative_to(sys.prefix)
    }
    assert len(ours) > 20
    assert ours <= {ROOT / name for name in covered}


def download_key(source: str) -> str | None:
    return work_key(check(Download, {"source": source}))


def test_auto_has_the_key_of_what_it_stands_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEART_UCI_URL", f"http://127.0.0.1:{closed_port()}")
    assert download_key("auto") == download_key("sample") is not None
    assert download_key("uci") != download_key("sample")


def test_a_url_has_a_key_where_it_states_its_digest() -> None:
    url = "https://example.org/heart.zip"
    pinned = download_key(f"{url}#sha256={UCI_DIGEST}")
    assert pinned == download_key(f"{url}#sha256={UCI_DIGEST.upper()}") is not None
    for unstated in (url, f"{url}#table", url.replace("https", "HTTP")):
        assert download_key(unstated) is None


@pytest.mark.parametrize("values", [
    *(check(entry, {}) for entry in (Main, Register, Promote)),
    check(Train, {"model": "recalibrated"}),  # its base may be another by now
], ids=["main", "register", "promote", "update"])  # fmt: skip
def test_some_work_is_never_reused(values: object) -> None:
    assert work_key(values) is None


# --- the run ----------------------------------------------------------------------------------

Work = Callable[..., Run]
PREPROCESS = check(Preprocess, {})


@pytest.fixture
def work(client: MlflowClient, experiment_id: str, tmp_path: Path) -> Work:
    """Return a function that does a piece of work in a run, with one artifact."""

    def do(key: str = "k" * 64, values: object = PREPROCESS, where: str = experiment_id) -> Run:
        path = tmp_path / "patients.parquet"
        path.write_text("patients")
        with open_run(values, None, where) as run:
            run.log_file(path, finished.DATA_FOLDER)
            run.tag(KEY_TAG, key)
        return client.get_run(run.run_id)

    return do


def find(experiment_id: str, step: str = "preprocess", key: str = "k" * 64) -> str | None:
    found = reuse.find(step, key, experiment_id)
    return found and found.info.run_id


def artifact(run: Run) -> Path:
    return Path(run.info.artifact_uri) / "data" / "patients.parquet"


def outputs_of(run: Run) -> Path:
    return Path(run.info.artifact_uri) / OUTPUTS_FILE


def test_of_equal_work_one_that_is_intact_is_found(work: Work, experiment_id: str) -> None:
    older, newer = work(), work()
    assert find(experiment_id) in (older.info.run_id, newer.info.run_id)
    artifact(newer).unlink()
    assert find(experiment_id) == older.info.run_id


def test_the_outputs_that_earlier_releases_kept_in_a_tag_are_read(
    work: Work, client: MlflowClient, experiment_id: str
) -> None:
    done = work()
    client.set_tag(done.info.run_id, OUTPUTS_TAG, outputs_of(done).read_text())
    outputs_of(done).unlink()
    assert find(experiment_id) == done.info.run_id


Change = Callable[[Work, MlflowClient], object]
NOT_TO_BE_REUSED: dict[str, Change] = {
    "other step": lambda work, _: work(values=check(Train, {})),
    "other key": lambda work, _: work(key="l" * 64),
    "other experiment": lambda work, client: work(where=client.create_experiment("other")),
    "failed": lambda work, client: client.set_terminated(work().info.run_id, "FAILED"),
    "running": lambda work, client: client.set_terminated(work().info.run_id, "RUNNING"),
    "deleted": lambda work, client: client.delete_run(work().info.run_id),
    "output changed": lambda work, _: artifact(work()).write_text("patientz"),
    "output gone": lambda work, _: artifact(work()).unlink(),
    "no outputs": lambda work, client: client.set_tag(work().info.run_id, OUTPUTS_TAG, "{}"),
    "outputs not recorded": lambda work, _: outputs_of(work()).unlink(),
}


@pytest.mark.parametrize("case", NOT_TO_BE_REUSED)
def test_work_that_is_other_unfinished_or_damaged_is_not_found(
    work: Work, client: MlflowClient, experiment_id: str, case: str
) -> None:
    NOT_TO_BE_REUSED[case](work, client)
    assert find(experiment_id) is None


def test_the_key_of_a_runs_output_is_that_of_the_same_file(work: Work, training: Train) -> None:
    done = work()
    assert work_key(training) == work_key(replace(training, data=done.info.run_id))
