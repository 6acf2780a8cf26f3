"""Scoring many patients through the commands of the README, killed, resumed, and refused."""

import zipfile
from pathlib import Path

import mlflow.sklearn
import numpy as np
import pandas as pd
import psutil
import pytest

from clinical import cohort
from clinical.patients import read_patients
from clinical.schema import FEATURE_NAMES
from tests.e2e.backends import Bucket
from tests.e2e.clones import Clone, by_hand, kill_tree
from tests.serving.service import wait_for

NUMBERS = ["probability", "prediction", "risk_level"]


@pytest.fixture(scope="module")
def uci_file(uci_zip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Cleveland patients as UCI has them."""
    path = tmp_path_factory.mktemp("uci") / "cleveland.data"
    with zipfile.ZipFile(uci_zip) as archive:
        path.write_bytes(archive.read("processed.cleveland.data"))
    return path


@pytest.fixture(scope="module")
def scored(cleveland: Clone, uci_file: Path) -> pd.DataFrame:
    """Return what a job that was launched says of them."""
    output = uci_file.with_name("scored.parquet")
    done = cleveland.launch("score", input=uci_file, output=output).succeeded()
    assert "303 of 303 rows scored" in done.output
    assert "Warning" not in done.output
    return pd.read_parquet(output)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of 1,200,000 patients, in half a dozen partitions."""
    folder = tmp_path_factory.mktemp("many")
    cohort.write_uci(cohort.draw(100_000, 3), folder / "drawn.data")
    lines = (folder / "drawn.data").read_bytes()
    with (folder / "many.data").open("wb") as file:
        for _ in range(12):
            file.write(lines)
    return folder / "many.data"


def test_every_cleveland_patient_gets_what_the_pipeline_says(
    cleveland: Clone, uci_file: Path, scored: pd.DataFrame
) -> None:
    patients = read_patients(uci_file, "uci").frame[list(FEATURE_NAMES)]
    version = cleveland.client.get_model_version_by_alias("heart-disease-model", "champion")
    folder = cleveland.model_of(cleveland.client.get_run(version.run_id))
    expected = mlflow.sklearn.load_model(str(folder)).predict_proba(patients)[:, 1]
    assert len(scored) == len(patients) == 303
    np.testing.assert_allclose(scored["probability"], expected, atol=1e-5)
    np.testing.assert_array_equal(scored["prediction"], expected > 0.5)
    assert set(scored["model_version"]) == {f"registry-v{version.version}"}
    levels = np.select([expected < 0.3, expected < 0.7], ["Low", "Moderate"], "High")
    np.testing.assert_array_equal(scored["risk_level"], levels)


def test_a_killed_job_leaves_nothing_in_its_place_and_may_be_started_again(
    cleveland: Clone, many: Path, tmp_path: Path
) -> None:
    output = tmp_path / "killed.parquet"
    process = cleveland.start(by_hand("score", input=many, output=output))
    wait_for(lambda: list(tmp_path.glob(".killed.parquet.*/parts/*.parquet")), what="a part")
    kill_tree(process)
    assert not output.exists()
    cleveland.step("score", input=many, output=output).succeeded()
    assert [run.info.status for run in cleveland.runs("score")[:2]] == ["FINISHED", "KILLED"]
    assert not list(tmp_path.glob(".killed*"))
    found = pd.read_parquet(output, columns=["probability"])["probability"].to_numpy()
    assert len(found) == 1_200_000
    np.testing.assert_array_equal(found[:100_000], found[-100_000:])


def test_a_full_disk_is_told_and_leaves_nothing(
    cleveland: Clone, many: Path, small_disk: Path
) -> None:
    done = cleveland.step("score", input=many, output=small_disk / "out.parquet").failed()
    assert f"No space left on device: {small_disk}" in done.output
    assert list(small_disk.iterdir()) == []
    assert cleveland.runs("score")[0].info.status == "FAILED"


def test_patients_in_s3_are_read_from_there(
    cleveland: Clone, uci_file: Path, scored: pd.DataFrame, tmp_path: Path, bucket: Bucket
) -> None:
    bucket.client.upload_file(str(uci_file), "heart", "2026/a.data")
    output = tmp_path / "from-s3.parquet"
    words = by_hand("score", input="s3://heart/2026/*.data", output=output)
    cleveland.run(*words, **bucket.env).succeeded()
    pd.testing.assert_frame_equal(pd.read_parquet(output)[NUMBERS], scored[NUMBERS])
    words = by_hand("score", input="s3://nowhere/a.data", output=tmp_path / "none")
    done = cleveland.run(*words, **bucket.env).failed(2)
    assert "'s3://nowhere/a.data'" in done.output


def test_sigterm_ends_the_job_and_its_workers(cleveland: Clone, many: Path, tmp_path: Path) -> None:
    process = cleveland.start(by_hand("score", input=many, output=tmp_path / "out"))
    wait_for(lambda: list(tmp_path.glob(".out.*/parts/*.parquet")), what="a part")
    family = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    assert process.wait(timeout=60) == 130
    _, alive = psutil.wait_procs(family, timeout=60)
    assert alive == []
    assert cleveland.runs("score")[0].info.status == "KILLED"
    assert not list(tmp_path.glob("*out*"))
