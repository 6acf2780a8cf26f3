"""The step itself: what it tells, what it keeps, and when it moves nothing in."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from steps import score
from steps.batch import job as jobs
from steps.batch import tasks
from steps.runs import reuse
from tests.servers import fails, gives, serving
from tests.steps.conftest import note
from tests.steps.scoring_jobs import forest, saved

Patients = tuple[pd.DataFrame, np.ndarray]


@pytest.fixture(scope="module")
def model(sample: Patients, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored")
    return saved(folder, forest(*sample), sample[0], "random_forest")


@pytest.fixture
def source(sample: Patients, tmp_path: Path) -> Path:
    path = tmp_path / "patients.csv"
    sample[0].assign(age=lambda f: f["age"].mask(f.index == 3, 200), ward="A").to_csv(
        path, index=False
    )
    return path


def run(source: Path | str, output: Path, model: Path, *words: str) -> int:
    given = [f"--input={source}", f"--output={output}", f"--model_uri={model}", "--workers=1"]
    return score.main([*given, *words])


def latest(client: MlflowClient) -> object:
    experiment = client.get_experiment_by_name("Heart Disease Prediction")
    return client.search_runs([experiment.experiment_id])[0]


def test_the_output_the_account_and_what_is_said(
    client: MlflowClient, source: Path, model: Path, tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert run(source, tmp_path / "new" / "out.parquet", model) == 0
    found = pd.read_parquet(tmp_path / "new" / "out.parquet")
    assert found["row"].tolist() == [1, 2, 3, *range(5, 301)]
    assert set(found["model_version"]) == {f"run-{'a' * 32}"}
    rejects = (tmp_path / "new" / "out.parquet.rejects.csv").read_text().splitlines()
    assert rejects == [
        "source,row,id,column,expected",
        'patients.csv,4,,age,"a number in [18, 110] years"',
    ]
    made = latest(client)
    assert made.info.status == "FINISHED"
    assert (made.data.metrics["rows"], made.data.metrics["rejected"]) == (300, 1)
    assert made.data.tags["data.source"] == "synthetic"
    account = json.loads(Path(made.info.artifact_uri, "scoring.json").read_text())
    assert account["model"]["engine"] == "onnx"
    assert account["risk_levels"].keys() == {"Low", "Moderate", "High"}
    said = capfd.readouterr().err
    assert "SYNTHETIC" in said
    assert "columns that are not used: ward" in said
    assert "1 rows REJECTED" in said


def test_an_input_that_changes_while_it_is_read_gives_no_output(
    client: MlflowClient, source: Path, model: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    work = tasks.work

    def work_and_touch(*given: object) -> object:
        done = work(*given)
        os.utime(source, (1, 1))
        return done

    monkeypatch.setattr(tasks, "work", work_and_touch)
    assert run(source, tmp_path / "out.parquet", model) == 1
    assert [path for path in tmp_path.iterdir() if "out.parquet" in path.name] == []
    made = latest(client)
    assert made.info.status == "FAILED"
    assert "has changed while it was read" in note(client, made.info.run_id)


@pytest.mark.parametrize("changed", ["requirements.txt", "tasks.py", "partitions.py"])
def test_what_other_code_or_libraries_have_scored_is_not_gone_on_with(
    client: MlflowClient, source: Path, model: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    def folder() -> Path:
        return jobs.plan(str(source), f"{source}.out", str(model)).parts.folder

    before, sha256 = folder(), reuse.sha256
    assert folder() == before
    other = f"other {changed}"
    monkeypatch.setattr(
        reuse, "sha256", lambda path: other if path.name == changed else sha256(path)
    )
    assert folder() != before


@pytest.mark.parametrize("lacking", ["input", "output"])
def test_what_must_be_given_is_asked_for_before_a_run_is_opened(
    client: MlflowClient, source: Path, model: Path, lacking: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(source, source.with_name("out"), model, f"--{lacking}=") == 2
    assert f"score: '{lacking}' must be given" in capfd.readouterr().err
    experiment = client.get_experiment_by_name("Heart Disease Prediction")
    assert client.search_runs([experiment.experiment_id]) == []


def test_without_a_champion_it_is_told_how_to_make_one(
    client: MlflowClient, source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [f"--input={source}", f"--output={tmp_path}/out"]
    assert score.main(words) == 2
    said = capfd.readouterr().err
    assert "there is no model models:/heart-disease-model@champion; 'mlflow run . -e main'" in said


def test_neither_a_signature_nor_a_password_is_said_or_kept(
    client: MlflowClient, source: Path, model: Path, tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    content, bad = source.read_bytes(), tmp_path / "bad"
    broken = content + b'"a line break\nin quotes"\n'
    assert run("http://me:top-secret@127.0.0.1/in.csv", bad, model) == 2
    with serving(fails(403, gives(content), times=1000)) as server:
        url = server.url("in/patients.csv") + "?sig=top-secret/x"
        assert run(url, bad, model) == 2
        server.behave = gives(broken)
        assert run(url, bad, model) == 1
        failed = latest(client)
        server.behave = gives(content)
        assert run(url, tmp_path / "out", model) == 0
    said = capfd.readouterr()
    assert "in/patients.csv?***' cannot be read: 403" in said.err
    assert "'patients.csv': a quoted cell holds a line break" in said.err
    made = latest(client)
    assert "in/patients.csv?***" in made.data.params["input"]
    kept = [str(run.to_dictionary()) for run in (failed, made)]
    kept.append(Path(made.info.artifact_uri, "scoring.json").read_text())
    kept.append((tmp_path / "out.rejects.csv").read_text())
    assert set(pd.read_parquet(tmp_path / "out")["source"]) == {"patients.csv"}
    assert "top-secret" not in "".join([*kept, *said])
