"""What the pipeline does when it is killed, raced, starved or lied to."""

import os
import shutil
import signal
import sqlite3
import subprocess
import zipfile
from contextlib import closing
from pathlib import Path

import psutil

from tests.conftest import need
from tests.e2e.clones import Clone, by_hand, kill_tree, launched
from tests.serving.service import wait_for

QUICK = {"source": "sample", "model": "logistic_regression"}


def process_of(step: str, below: int) -> psutil.Process | None:
    """Return the process of a step among those that another one started."""
    try:
        family = psutil.Process(below).children(recursive=True)
        return next((p for p in family if f"steps.{step}" in p.cmdline()), None)
    except psutil.NoSuchProcess:
        return None


def is_running(step: str, database: Path) -> bool:
    """Return whether a step's run is open; MLflow would wait where the step has locked the file."""
    query = """
        SELECT 1 FROM runs JOIN tags step USING (run_uuid) JOIN tags owner USING (run_uuid)
        WHERE status = 'RUNNING' AND step.key = 'heart.step' AND step.value = ?
        AND owner.key = 'heart.owner'
    """
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=0)) as connection:
        try:
            return connection.execute(query, [step]).fetchone() is not None
        except sqlite3.OperationalError:  # locked, or not made yet
            return False


def freeze_in_its_run(clone: Clone, step: str, launcher: int) -> None:
    """Stop a step between the start and the end of its run, however short that is."""
    process = wait_for(lambda: process_of(step, launcher), what=f"{step} to start")

    def frozen() -> bool:
        # It stands still while it is looked at, and cannot pass through its run unseen.
        process.suspend()
        if is_running(step, clone.path / "mlflow.db"):
            return True
        process.resume()
        return False

    wait_for(frozen, what=f"the run of {step}", every=0.01)


def test_main_killed_in_a_step_goes_on_where_it_stopped(bare_store: Clone) -> None:
    clone = bare_store
    for step in ("train", "register"):
        started = clone.start(launched("main", **QUICK))
        try:
            freeze_in_its_run(clone, step, started.pid)
        finally:
            kill_tree(started)
        assert clone.runs("main")[0].info.status == "RUNNING"

    done = clone.launch("main", **QUICK).succeeded()

    for step in ("download", "preprocess", "train"):
        assert f"{step}: reused run" in done.output
    assert [run.info.status for run in clone.runs("train")] == ["FINISHED", "KILLED"]
    assert clone.runs(status="RUNNING") == []
    assert [run.info.status for run in clone.runs("main")] == ["FINISHED", "KILLED", "KILLED"]
    assert {run.info.status for run in clone.launches()} == {"FINISHED", "KILLED"}
    champion = clone.client.get_model_version_by_alias("heart-disease-model", "champion")
    assert champion.run_id == clone.runs("train", "FINISHED")[0].info.run_id
    assert len(clone.client.search_model_versions("name = 'heart-disease-model'")) == 1


def test_ctrl_c_ends_every_run_of_main_as_killed(bare_store: Clone) -> None:
    process = bare_store.start(launched("main", source="sample"))
    database = bare_store.path / "mlflow.db"
    wait_for(lambda: is_running("preprocess", database), what="preprocess", every=0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: all of them at once
    process.wait(timeout=900)
    output = bare_store.log.read_text()
    assert output.count("stopped\n") == 1, output
    assert "main: stopped\n" in output
    assert "Traceback" not in output
    statuses = {run.data.tags["heart.step"]: run.info.status for run in bare_store.runs()}
    assert statuses == {"main": "KILLED", "preprocess": "KILLED", "download": "FINISHED"}
    # ``mlflow run`` has its own say first.
    wait_for(lambda: bare_store.launches()[0].info.status == "KILLED", what="the launch run")


def test_a_reader_of_the_log_that_goes_away_fails_no_run(bare_store: Clone) -> None:
    process = subprocess.Popen(
        by_hand("download", source="sample"), cwd=bare_store.path,
        env=bare_store.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout
    process.stdout.close()
    assert process.wait(timeout=900) == 0
    assert bare_store.runs("download")[0].info.status == "FINISHED"


def test_a_user_whom_the_machine_does_not_know_needs_no_home(bare_store: Clone) -> None:
    """As in a container that is run with any user's number."""
    stranger = ["unshare", "--user", "--map-user=12345", "--map-group=12345"]
    possible = shutil.which("unshare") and bare_store.run(*stranger, "true").code == 0
    need(possible, "another user's number needs user namespaces")
    names = ("HOME", "XDG_CACHE_HOME", "USER", "LOGNAME")
    unset = ["env", *(f"--unset={name}" for name in names)]
    bare_store.run(*stranger, *unset, *by_hand("download", source="sample")).succeeded()
    assert bare_store.runs("download")[0].info.status == "FINISHED"


def test_a_bad_file_fails_download_and_main_clearly(
    bare_store: Clone, uci_zip: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(uci_zip) as archive:
        text = archive.read("processed.cleveland.data").decode()
    path = tmp_path / "patients.data"
    path.write_text(text.replace("63.0,", "630630630.0,", 1).replace(",160.0,", ",99999999.0,", 1))
    done = bare_store.launch("main", source=path).failed()
    age = "age: must be a number in [18, 110] years; row 1"
    assert "main: download failed: 'patients.data' was refused" in done.output
    assert age in done.output
    assert "trestbps: must be a number in [60, 260] mm Hg; row 2" in done.output
    for run in (*bare_store.runs("download"), *bare_store.runs("main"), *bare_store.launches()):
        assert run.info.status == "FAILED"
        assert age in run.data.tags["mlflow.note.content"]
    assert len(bare_store.runs()) == 2
    assert not (bare_store.path / "data").exists()
    assert not list(bare_store.path.parent.rglob("*.part"))
    assert "99999999" not in done.output
    assert "630630630" not in done.output  # as short as 630, it may be part of an id


def test_a_full_disk_fails_the_run_and_leaves_no_half_written_file(
    bare_store: Clone, small_disk: Path, uci_zip: Path
) -> None:
    (bare_store.path / "data").symlink_to(small_disk)
    (small_disk / "ballast").write_bytes(b"0" * 1_000_000)

    done = bare_store.step("download", source=uci_zip).failed()

    assert "No space left on device" in done.output
    assert bare_store.runs("download")[0].info.status == "FAILED"
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]


def test_a_locked_database_is_told_and_nothing_hangs(bare_store: Clone) -> None:
    with closing(sqlite3.connect(bare_store.path / "mlflow.db")) as database:
        database.execute("BEGIN EXCLUSIVE")
        # A step that waits until the lock is gone is ended, which fails the test.
        done = bare_store.step("download", source="sample")
        database.rollback()
    assert "database is locked" in done.failed(2).output


def test_a_step_starts_others_with_its_own_interpreter_whatever_is_first_on_the_path(
    bare_store: Clone, tmp_path: Path
) -> None:
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\necho 'another Python' >&2\nexit 1\n")
    other.chmod(0o755)
    # As cron or systemd would start it: by full path, in an environment that was not activated.
    path = f"{tmp_path}:/usr/local/bin:/usr/bin:/bin"
    done = bare_store.run(*by_hand("preprocess"), PATH=path).succeeded()
    assert "another Python" not in done.output
    assert [run.info.status for run in bare_store.runs()] == ["FINISHED", "FINISHED"]
