"""The sweep: its candidates, its honest figure, and the winner that it hands to `train`."""

import json
import time
from collections.abc import Iterator
from contextlib import redirect_stderr
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from mlflow import MlflowClient

from clinical import copies
from clinical.preparation import prepare
from steps import sweep
from steps.modelling import searching
from steps.modelling.estimators import columns
from steps.modelling.searching import MEASURES
from steps.parameters.declaration import check
from steps.parameters.entry_points import Train
from steps.reports import search_plot
from steps.runs.tracking import finished
from tests.steps.stores import FakeLaunch, runs_of, steps_in

pytestmark = pytest.mark.slow

TRIALS, SEED = 3, 28
MODELS = "random_forest,logistic_regression"
HELD_OUT = {f"{name}{end}": 0.5 for name in MEASURES for end in ("", "_ci_low", "_ci_high")}


@pytest.fixture(scope="module")
def prepared(sample_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prepared") / "patients.parquet"
    prepare(sample_file, sample_file.name).frame.to_parquet(path, index=False)
    return path


@pytest.fixture(scope="module")
def swept(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path, prepared: Path
) -> Iterator[SimpleNamespace]:
    """Return a store in which a sweep was run once, its runs, and what it printed."""
    folder = tmp_path_factory.mktemp("swept")
    training = FakeLaunch(**HELD_OUT)
    with steps_in(folder, empty_database) as made, pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlflow, "run", training)
        words = (f"--data={prepared}", f"--models={MODELS}", f"--trials={TRIALS}")
        with redirect_stderr(StringIO()) as printed:
            assert sweep.main([*words, "--calibration=none", f"--random_state={SEED}"]) == 0
        (run,) = runs_of(made.client, "sweep")
        yield SimpleNamespace(
            client=made.client, copies=made.copies, run=run, asked=training.asked,
            candidates=runs_of(made.client, "candidate")[::-1], printed=printed.getvalue(),
        )  # fmt: skip


def test_a_candidate_has_its_parameters_and_the_mean_and_spread_of_each_measure(
    swept: SimpleNamespace, prepared: Path
) -> None:
    """Those of a search that never saw the patients whom `train` holds out."""
    fitting, _ = copies.split(pd.read_parquet(prepared), 0.2)
    patients = columns(fitting)
    base = check(Train, {"calibration": "none", "random_state": str(SEED)})
    drawn = searching.draw(MODELS.split(","), TRIALS, SEED)
    for number, (run, given) in enumerate(zip(swept.candidates, drawn, strict=True), start=1):
        assert run.data.params == {name: str(value) for name, value in given.items()}
        assert run.info.run_name == f"{given['model']} {number}"
        rows = np.arange(len(patients.labels))
        expected = searching.cross_validate(patients, rows, replace(base, **given))
        assert run.data.metrics == pytest.approx(expected)
        assert set(run.data.metrics) == {
            f"cv_{name}_{kind}" for name in MEASURES for kind in ("mean", "std")
        }


def test_the_sweep_states_the_best_of_its_draws_beside_the_honest_figure(
    swept: SimpleNamespace,
) -> None:
    found = swept.run.data.metrics
    means = [candidate.data.metrics["cv_brier_mean"] for candidate in swept.candidates]
    assert found["cv_brier_mean"] == min(means)
    path = swept.client.download_artifacts(swept.run.info.run_id, "search.json")
    nested = json.loads(Path(path).read_text())["nested"]
    for name in ("brier", "roc_auc", "log_loss"):
        assert found[f"nested_{name}"] == nested[name]
        assert nested[f"{name}_ci_low"] < nested[name] < nested[f"{name}_ci_high"]
    assert f"sweep: {TRIALS} of {TRIALS} candidates tried, best Brier score 0." in swept.printed
    assert "sweep: nested cross-validation, fold 5 of 5 done" in swept.printed


def test_the_winner_is_trained_as_train_would_be_asked_to(
    swept: SimpleNamespace, prepared: Path
) -> None:
    (asked,) = swept.asked
    best = min(swept.candidates, key=lambda run: run.data.metrics["cv_brier_mean"])
    others = {"data": str(prepared), "calibration": "none", "random_state": str(SEED)}
    expected = check(Train, best.data.params | others)
    assert asked["entry_point"] == "train"
    assert check(Train, asked["parameters"]) == expected
    # No candidate is taken for a trained model.
    (trained,) = finished.finished_runs(swept.run.info.experiment_id, "train")
    assert swept.run.data.tags["heart.winner"] == trained.info.run_id
    command = f"-e register --env-manager local -P run_id={trained.info.run_id}"
    assert swept.printed.rstrip().endswith(command)


def test_all_candidates_are_a_table_best_first_and_a_picture(swept: SimpleNamespace) -> None:
    client, run_id = swept.client, swept.run.info.run_id
    table = pd.read_csv(client.download_artifacts(run_id, "candidates.csv"))
    assert len(table) == TRIALS
    assert table["cv_brier_mean"].is_monotonic_increasing
    assert set(table["model"]) <= set(MODELS.split(","))
    path = client.download_artifacts(run_id, "plots/search.png")
    assert imread(path).std() > 0.05
    assert (swept.copies / "plots" / "search.png").read_bytes() == Path(path).read_bytes()


def test_the_data_is_noted_as_for_train_on_each_candidate_too(swept: SimpleNamespace) -> None:
    (given,) = swept.run.inputs.dataset_inputs
    assert {tag.key: tag.value for tag in given.tags}["mlflow.data.context"] == "sweep"
    assert swept.run.data.tags["data.source"] == "file"
    for candidate in swept.candidates:
        assert candidate.inputs.dataset_inputs == swept.run.inputs.dataset_inputs


def test_a_picture_of_one_parameter_can_be_drawn_too(tmp_path: Path) -> None:
    means = np.array([0.15, 0.14])
    tried = pd.DataFrame({"model": "logistic_regression", "C": [0.1, 1.0]}).assign(
        **{f"cv_{name}_{kind}": means for name in MEASURES for kind in ("mean", "std")}
    )
    path = search_plot.draw(tmp_path / "search.png", tried, 1, HELD_OUT)
    height, width, _ = imread(path).shape
    assert height > width


def test_a_scheduler_that_does_not_answer_is_told_within_seconds(
    client: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    start = time.monotonic()
    assert sweep.main(["--scheduler=tcp://127.0.0.1:9"]) == 1
    assert time.monotonic() - start < 60
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("sweep: the Dask scheduler tcp://127.0.0.1:9 does not answer")
    (run,) = runs_of(client, "sweep")
    assert run.info.status == "FAILED"
    # Nothing was built on the way.
    assert runs_of(client, "preprocess") == []


def test_too_few_patients_are_refused(
    store: str, prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = pd.read_parquet(prepared).groupby("disease").head(8)
    few.to_parquet(tmp_path / "few.parquet", index=False)
    assert sweep.main([f"--data={tmp_path / 'few.parquet'}", "--trials=2"]) == 1
    assert "a search needs 10 training rows of each class" in capsys.readouterr().err
