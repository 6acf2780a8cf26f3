"""The step itself: what it tells and keeps, on which clusters, and when nothing is published."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from steps import score
from tests.clinical.patient_files import SICK_CSV, SICK_UCI, WELL_CSV, WELL_UCI, changed, csv_bytes
from tests.conftest import need
from tests.servers import fails, gives, serving
from tests.steps.conftest import Patients, note, small
from tests.steps.dask_cluster import Cluster, cluster
from tests.steps.scoring_jobs import stored
from tests.steps.stores import runs_of

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def model(sample: Patients, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored")
    return stored(folder / "model", small(calibration="sigmoid").fit(*sample), sample[0])


@pytest.fixture
def source(sample: Patients, tmp_path: Path) -> Path:
    path = tmp_path / "patients.csv"
    ids = [f"secret-{number}" for number in sample[0].index]
    ages = sample[0]["age"].mask(sample[0].index == 3, 98765)
    sample[0].assign(age=ages, ward="A", patient_id=ids).to_csv(path, index=False)
    return path


@pytest.fixture
def many(sample: Patients, tmp_path: Path) -> Path:
    """Return a folder of 120 files, each of 300 patients with ids that count all of them."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(120):
        ids = range(300 * number, 300 * number + 300)
        sample[0].assign(id=ids).to_csv(folder / f"{number:03}.csv", index=False)
    return folder


@pytest.fixture
def two_workers(tmp_path: Path) -> Iterator[Cluster]:
    folder = tmp_path / "dask"
    folder.mkdir()
    with cluster(folder, workers=2) as running:
        yield running


def run(source: Path | str, output: Path, model: Path, *words: str) -> int:
    given = [f"--input={source}", f"--output={output}", f"--model_uri={model}", "--workers=1"]
    return score.main([*given, *words])


def latest(client: MlflowClient) -> Run:
    return runs_of(client, "score")[0]


def told(client: MlflowClient) -> str:
    return note(client, latest(client).info.run_id)


def left_of(output: Path) -> list[str]:
    return [path.name for path in output.parent.iterdir() if output.name in path.name]


def when_parts_are_there(output: Path, act: Callable[[], None]) -> threading.Thread:
    """Start a thread that acts once a part of an output is finished, in its hidden folder."""

    def wait() -> None:
        while not list(output.parent.glob(f".{output.name}.*/parts/*.parquet")):
            time.sleep(0.01)
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_the_output_the_account_and_what_is_said(
    client: MlflowClient, source: Path, model: Path, tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    output = tmp_path / "new" / "out.parquet"
    assert run(source, output, model) == 0
    found = pd.read_parquet(output)
    assert list(found) == [
        "source", "id", "probability", "prediction", "risk_level", "model_version", "problem",
    ]  # fmt: skip
    assert len(found) == 300
    assert set(found["source"]) == {"patients.csv"}
    assert np.flatnonzero(found["problem"].notna()).tolist() == [3]
    assert found["problem"][3] == "age: a number in [18, 110] years"
    assert set(found["model_version"]) == {f"run-{'a' * 32}"}
    assert left_of(output) == ["out.parquet"]
    made = latest(client)
    assert made.info.status == "FINISHED"
    figures = {name: made.data.metrics[name] for name in ("rows", "scored", "rejected")}
    assert figures == {"rows": 300, "scored": 299, "rejected": 1}
    assert made.data.tags["data.source"] == "synthetic"
    account = json.loads(Path(made.info.artifact_uri, "scoring.json").read_text())
    assert account["model"]["engine"] == "onnx"
    assert account["problems"] == {"age": 1}
    assert sum(account["risk_levels"].values()) == 299
    said = capfd.readouterr().err
    assert "SYNTHETIC" in said
    assert "columns that are not used: 'ward'" in said
    assert "299 of 300 rows scored" in said
    assert "1 rows REJECTED; the column 'problem' says why: age in 1" in said
    assert found["id"].tolist() == [f"secret-{number}" for number in range(300)]
    kept = said + json.dumps(account) + str(made.data.params) + str(made.data.tags)
    assert not any(word in kept for word in ("98765", "secret"))


def test_an_input_that_changes_while_it_is_read_gives_no_output(
    client: MlflowClient, source: Path, model: Path, tmp_path: Path
) -> None:
    content = source.read_bytes()
    with serving(lambda request, n: gives(content, ETag=str(n))(request, n)) as server:
        assert run(server.url("h.csv"), tmp_path / "out", model) == 1
    assert left_of(tmp_path / "out") == []
    assert latest(client).info.status == "FAILED"
    assert "has changed while it was read" in told(client)


UCI_FILE = csv_bytes([SICK_UCI[:13], WELL_UCI[:13]])
CSV_FILE = csv_bytes([SICK_CSV[:13], WELL_CSV[:13]])
SILENT = csv_bytes([changed(WELL_CSV, cp=2, thal=3, slope=1)[:13]])
REFUSED = {
    "files of two codings": (
        {"a.csv": UCI_FILE, "b.csv": CSV_FILE},
        "expected one coding in all files, found several: 'a.csv' is uci, 'b.csv' is canonical",
    ),
    "one file of both": (
        {"a.csv": UCI_FILE + CSV_FILE.partition(b"\n")[2] * 2},
        "'a.csv': its rows are not all in one coding: the codes in cp, slope, thal are those of",
    ),
    "too few to tell the coding": ({"a.csv": SILENT}, "it is too small to tell its coding"),
    "no usable row": (
        {"a.csv": csv_bytes([changed(WELL_CSV, age=5)] * 2, "target")},
        "none of 2 rows can be used; wrong: age in 2",
    ),
    "no row at all": ({"a.csv": CSV_FILE.partition(b"\n")[0]}, "none of 0 rows can be used"),
    "a quoted line break": (
        {"a.csv": CSV_FILE, "b.csv": csv_bytes([[*SICK_CSV, '"a\nb"']], "target,id")},
        "'b.csv': a quoted cell holds a line break",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_scored_as_a_whole_is_refused_and_leaves_nothing(
    client: MlflowClient, model: Path, tmp_path: Path, case: str
) -> None:
    files, line = REFUSED[case]
    (tmp_path / "in").mkdir()
    for name, content in files.items():
        (tmp_path / "in" / name).write_bytes(content)
    assert run(tmp_path / "in", tmp_path / "out", model) == 1
    assert left_of(tmp_path / "out") == []
    assert told(client).startswith(line)


SAME_CODING = {
    "a file that does not tell, beside one that does": {
        "a.csv": csv_bytes([changed(SICK_UCI, cp=2, thal=3)[:13]]), "b.csv": UCI_FILE,
    },
    "num": {"a.csv": csv_bytes([[*changed(SICK_UCI, cp=2, thal=3)[:13], 77]], "num")},
    "target": {"a.csv": csv_bytes([[*changed(SICK_UCI, cp=2, thal=3)[:13], 77]], "target")},
    "a label that the codes contradict": {"a.csv": csv_bytes([SICK_CSV], "num")},
}  # fmt: skip


@pytest.mark.parametrize("case", SAME_CODING)
def test_other_files_or_a_label_tell_the_coding_where_no_code_does_and_nothing_else(
    client: MlflowClient, model: Path, tmp_path: Path, case: str
) -> None:
    for name, content in SAME_CODING[case].items():
        (tmp_path / name).write_bytes(content)
    assert run(tmp_path / "*.csv", tmp_path / "out", model) == 0
    assert pd.read_parquet(tmp_path / "out")["problem"].isna().all()


def test_two_jobs_at_one_output_do_not_mix_and_the_first_one_wins(
    client: MlflowClient, source: Path, many: Path, model: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"

    def finish_first() -> None:
        output.mkdir()
        (output / "theirs").write_text("theirs")

    when_parts_are_there(output, finish_first)
    assert run(many, output, model) == 1
    assert "exists by now, and is not overwritten" in told(client)
    assert left_of(output) == ["out"]
    assert [path.name for path in output.iterdir()] == ["theirs"]


def test_a_worker_that_is_killed_loses_nothing(
    client: MlflowClient, many: Path, model: Path, tmp_path: Path, two_workers: Cluster
) -> None:
    victim = two_workers.processes[-1]
    thread = when_parts_are_there(tmp_path / "out", victim.kill)
    assert run(many, tmp_path / "out", model, f"--scheduler={two_workers.address}") == 0
    thread.join(60)
    assert victim.wait(60) == -signal.SIGKILL
    found = pd.read_parquet(tmp_path / "out")
    assert found["id"].astype(int).tolist() == list(range(120 * 300))
    assert left_of(tmp_path / "out") == ["out"]


def test_a_scheduler_that_dies_is_told_and_leaves_nothing(
    client: MlflowClient, many: Path, model: Path, tmp_path: Path, two_workers: Cluster
) -> None:
    when_parts_are_there(tmp_path / "out", two_workers.processes[0].kill)
    assert run(many, tmp_path / "out", model, f"--scheduler={two_workers.address}") == 1
    assert told(client) == "the connection to the Dask scheduler was lost; start again"
    assert not (tmp_path / "out").exists()


def test_workers_that_do_not_see_the_output_are_told_of_before_anything_is_scored(
    client: MlflowClient, source: Path, model: Path, tmp_path: Path, two_workers: Cluster
) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    apart = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs none {hidden} && exec "$@"', "sh"]
    tried = subprocess.run([*apart, "true"], check=False, capture_output=True)
    need(tried.returncode == 0, "a worker that does not see a folder needs the right to mount")
    two_workers.start_worker(before=apart)
    two_workers.wait_for_workers(3)
    assert run(source, hidden / "out", model, f"--scheduler={two_workers.address}") == 1
    assert told(client).startswith(f"not all Dask workers see {hidden}: the output must")
    assert list(hidden.iterdir()) == []


def test_what_a_killed_job_has_left_is_removed_by_the_next_one(
    client: MlflowClient, source: Path, model: Path, tmp_path: Path
) -> None:
    owner = {"host": os.uname().nodename, "pid": 2**22 + 1, "started": 1.0}
    elsewhere = {**owner, "host": "another"}
    for name, of in (("dead", owner), ("elsewhere", elsewhere)):
        left = tmp_path / f".out.{name}.partial"
        left.mkdir()
        (left / "owner").write_text(json.dumps(of))
    assert run(source, tmp_path / "out", model) == 0
    assert sorted(left_of(tmp_path / "out")) == [".out.elsewhere.partial", "out"]


@pytest.mark.parametrize(("word", "line"), [
    ("--input=", "'input' must be a CSV or Parquet file, a folder, a glob or a URL"),
    ("--output=", "'output' must be a path on this machine where nothing is"),
    ("--output=patients.csv", "'output' must be a path"),
    ("--workers=1", "there is no model models:/heart-disease-model@champion; 'mlflow run . -e m"),
])  # fmt: skip
def test_what_is_wrong_is_told_before_a_run_is_opened(
    client: MlflowClient, source: Path, word: str, line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    words = (f"--input={source}", f"--output={source.with_name('out')}")
    assert score.main([*words, word]) == 2
    assert f"score: {line}" in capfd.readouterr().err
    known = [experiment.experiment_id for experiment in client.search_experiments()]
    assert client.search_runs(known) == []


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
    assert set(pd.read_parquet(tmp_path / "out")["source"]) == {"patients.csv"}
    assert "top-secret" not in "".join([*kept, *said])
