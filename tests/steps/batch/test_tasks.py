"""A job on a cluster: all rows once, whatever dies, and one line for what cannot be scored."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from distributed import Client

from clinical.errors import DataError
from steps.batch import inputs, tasks
from steps.batch.cluster import connect
from steps.batch.engine import Packed
from steps.batch.job import Job
from steps.batch.parts import rejects_of
from steps.runs.store import StepError
from tests.clinical.patient_files import (
    SICK_CSV,
    SICK_UCI,
    WELL_CSV,
    WELL_UCI,
    changed,
    csv_bytes,
)
from tests.steps.dask_cluster import cluster
from tests.steps.scoring_jobs import forest, job_of, packed_from, stored

Patients = tuple[pd.DataFrame, np.ndarray]


@pytest.fixture(scope="module")
def packed(sample: Patients, tmp_path_factory: pytest.TempPathFactory) -> Packed:
    folder = tmp_path_factory.mktemp("model")
    return packed_from(stored(folder, forest(*sample), sample[0]))


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with connect(workers=2) as connected:
        yield connected


@pytest.fixture
def source(tmp_path: Path, sample: Patients, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of two files that are divided into some twenty partitions."""
    monkeypatch.setattr(inputs, "TEXT_BYTES", 2000)
    folder = tmp_path / "in"
    folder.mkdir()
    sample[0].iloc[:200].to_csv(folder / "a.csv", index=False)
    bad = sample[0].iloc[200:].assign(age=np.where(np.arange(100) % 10 == 0, 5, 60))
    bad.to_csv(folder / "b.csv", index=False)
    return folder


def finish(client: Client, job: Job) -> pd.DataFrame:
    """Do what is missing of a job, move it in, and return the output."""
    with job.parts.held():
        done = tasks.work(client, job)
        job.parts.move_in(["source", "row"])
    assert (done.counts["rows"], done.counts["rejected"]) == (300, 10)
    return pd.read_parquet(job.output)


def kill_after(job: Job, parts: int, victim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill a process as soon as so many parts are finished."""
    add, added = job.parts.add, []

    def add_and_kill(number: int, *rest: object) -> None:
        add(number, *rest)
        added.append(number)
        if len(added) == parts:
            os.kill(victim, signal.SIGKILL)

    monkeypatch.setattr(job.parts, "add", add_and_kill)


def test_all_rows_are_scored_once_and_in_their_order(
    client: Client, packed: Packed, source: Path, tmp_path: Path
) -> None:
    found = finish(client, job_of(source, tmp_path / "out.parquet", packed))
    assert found["source"].astype(str).tolist() == ["a.csv"] * 200 + ["b.csv"] * 90
    rows = [*range(1, 201), *(i for i in range(1, 101) if i % 10 != 1)]
    assert found["row"].tolist() == rows
    assert len(rejects_of(tmp_path / "out.parquet").read_text().splitlines()) == 11


def test_a_worker_that_is_killed_loses_nothing(
    packed: Packed, source: Path, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = finish(client, job_of(source, tmp_path / "calm.parquet", packed))
    job = job_of(source, tmp_path / "killed.parquet", packed)
    with connect(workers=2) as mortal:
        victim = next(iter(mortal.run(os.getpid).values()))
        kill_after(job, 2, victim, monkeypatch)
        found = finish(mortal, job)
        assert victim not in mortal.run(os.getpid).values()
    pd.testing.assert_frame_equal(found, expected)


def test_what_an_earlier_start_has_finished_is_not_scored_again(
    client: Client, packed: Packed, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = finish(client, job_of(source, tmp_path / "calm.parquet", packed))
    job = job_of(source, tmp_path / "out.parquet", packed)
    add, added = job.parts.add, []

    def add_three(number: int, *rest: object) -> None:
        if len(added) == 3:
            raise KeyboardInterrupt
        add(number, *rest)
        added.append(number)

    monkeypatch.setattr(job.parts, "add", add_three)
    with pytest.raises(KeyboardInterrupt), job.parts.held():
        tasks.work(client, job)
    again = job_of(source, tmp_path / "out.parquet", packed)
    scored: list[int] = []
    add_again = again.parts.add
    monkeypatch.setattr(
        again.parts, "add", lambda number, *rest: (scored.append(number), add_again(number, *rest))
    )
    found = finish(client, again)
    assert not set(scored) & set(added)
    assert len(scored) + len(added) == len(list(again.output.iterdir()))
    pd.testing.assert_frame_equal(found, expected)


def test_a_cluster_that_runs_already_gives_the_same_and_its_end_is_told(
    client: Client, packed: Packed, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = finish(client, job_of(source, tmp_path / "own.parquet", packed))
    folder = tmp_path / "cluster"
    folder.mkdir()
    with cluster(folder, workers=1) as running:
        with connect(running.address) as other:
            found = finish(other, job_of(source, tmp_path / "other.parquet", packed))
        pd.testing.assert_frame_equal(found, expected)
        job = job_of(source, tmp_path / "cut.parquet", packed)
        lost = pytest.raises(StepError, match="the connection to the Dask scheduler was lost")
        with lost, connect(running.address) as other:
            kill_after(job, 2, running.processes[0].pid, monkeypatch)
            finish(other, job)
    assert len(job.parts.counts()) >= 2
    rest = finish(client, job_of(source, tmp_path / "cut.parquet", packed))
    pd.testing.assert_frame_equal(rest, expected)


UCI_FILE = csv_bytes([SICK_UCI[:13], WELL_UCI[:13]])
CSV_FILE = csv_bytes([SICK_CSV[:13], WELL_CSV[:13]])
SILENT = csv_bytes([changed(WELL_CSV, cp=2, thal=3, slope=1)[:13]])
COUNTED_FROM_0 = [changed(SICK_CSV, cp=3, slope=2), changed(WELL_CSV, cp=0, slope=0)]
REFUSED = {
    "files of two codings": (
        {"a.csv": UCI_FILE, "b.csv": CSV_FILE},
        "expected one coding in all files, found several: 'a.csv' is uci, 'b.csv' is canonical",
    ),
    "one file of both": (
        {"a.csv": UCI_FILE + CSV_FILE.partition(b"\n")[2]},
        "'a.csv': its rows are not all in one coding",
    ),
    "codes counted from 0": (
        {"a.csv": csv_bytes([row[:13] for row in COUNTED_FROM_0] * 6)},
        "'a.csv': its codes in cp, slope speak against the canonical coding",
    ),
    "no code that tells": ({"a.csv": SILENT}, "it is too small to tell its coding"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_mixed_codings_are_refused_and_leave_nothing(
    client: Client, packed: Packed, tmp_path: Path, case: str
) -> None:
    files, line = REFUSED[case]
    (tmp_path / "in").mkdir()
    for name, content in files.items():
        (tmp_path / "in" / name).write_bytes(content)
    job = job_of(tmp_path / "in", tmp_path / "out.parquet", packed)
    with pytest.raises(DataError) as refused, job.parts.held():
        tasks.work(client, job)
    assert str(refused.value).startswith(line)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(("other", "coding"), [(UCI_FILE, "uci"), (CSV_FILE, "canonical")])
def test_a_file_that_does_not_tell_is_read_as_the_others_are(
    client: Client, packed: Packed, tmp_path: Path, other: bytes, coding: str
) -> None:
    (tmp_path / "a.csv").write_bytes(SILENT)
    (tmp_path / "b.csv").write_bytes(other)
    job = job_of(tmp_path / "*.csv", tmp_path / "out.parquet", packed)
    assert {batch.coding for batch in tasks._survey(client, job, {})} == {coding}


def test_the_first_partition_that_tells_decides(
    client: Client, packed: Packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "TEXT_BYTES", 200)
    (tmp_path / "a.csv").write_bytes(SILENT + SILENT.partition(b"\n")[2] * 30 + SILENT[-1:] +
                                     UCI_FILE.partition(b"\n")[2])  # fmt: skip
    job = job_of(tmp_path / "a.csv", tmp_path / "out.parquet", packed)
    batches = list(tasks._survey(client, job, {}))
    assert {batch.coding for batch in batches} == {"uci"}
    assert [b.first for b in batches] == [1 + sum(b.rows for b in batches[:i])
                                          for i in range(len(batches))]  # fmt: skip


@pytest.mark.parametrize("label", ["num", "target"])
def test_where_no_code_tells_a_label_may_and_its_values_do_not_matter(
    client: Client, packed: Packed, tmp_path: Path, label: str
) -> None:
    (tmp_path / "a.csv").write_bytes(SILENT.replace(b"thal\n", f"thal,{label}\n".encode())[:-1]
                                     + b",77\n")  # fmt: skip
    (batch,) = tasks._survey(client, job_of(tmp_path / "a.csv", tmp_path / "o", packed), {})
    assert batch.coding == {"num": "uci", "target": "canonical"}[label]


def test_a_label_that_its_codes_contradict_does_not_make_it_fail(
    client: Client, packed: Packed, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_bytes(csv_bytes([SICK_CSV], "num"))
    (batch,) = tasks._survey(client, job_of(tmp_path / "a.csv", tmp_path / "o", packed), {})
    assert batch.coding == "canonical"


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_file_without_rows_gives_an_output_without_rows(
    client: Client, packed: Packed, tmp_path: Path, name: str, sample: Patients
) -> None:
    (tmp_path / "a.csv").write_bytes(CSV_FILE.partition(b"\n")[0] + b"\n")
    sample[0].head(0).to_parquet(tmp_path / "a.parquet")
    job = job_of(tmp_path / name, tmp_path / "out.parquet", packed)
    with job.parts.held():
        done = tasks.work(client, job)
        job.parts.move_in(["source"])
    assert done.counts["rows"] == 0
    found = pd.read_parquet(job.output)
    assert len(found) == 0
    assert "probability" in found
