"""The same commands on a real PostgreSQL, also while it is restarted."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.backends import PASSWORD, Postgres, Remote
from tests.e2e.clones import Clone, by_hand, launched
from tests.e2e.registry import NAME
from tests.pages import blocks
from tests.serving.service import Load, running, wait_for


@pytest.fixture(scope="module")
def machine(postgres: Postgres, make_clone: Callable[[], Clone]) -> Remote:
    """Return a machine on which the documentation's section on PostgreSQL was followed."""
    made = Remote(make_clone().path, store=postgres.create("heart"))
    (block,) = blocks("postgresql")
    given = {"postgresql://mlflow:secret@db.example.org/mlflow": made.store}
    return made.train(block, given, PASSWORD)


def test_two_mains_at_once_both_finish_with_one_champion(machine: Remote) -> None:
    before = len(machine.client.search_model_versions(f"name = '{NAME}'"))
    both = [
        machine.start(launched("main", source="sample", model="logistic_regression", C=weight))
        for weight in (0.5, 2)
    ]
    assert [process.wait(timeout=900) for process in both] == [0, 0]
    versions = machine.client.search_model_versions(f"name = '{NAME}'")
    full = [machine.client.get_model_version(NAME, str(v.version)) for v in versions]
    assert len(full) == before + 2
    assert [version.aliases for version in full].count(["champion"]) == 1
    assert [version.current_stage for version in full].count("Production") == 1


def test_the_database_may_restart_in_the_middle_of_main(
    machine: Remote, postgres: Postgres
) -> None:
    quick = {"source": "sample", "n_estimators": 5, "calibration": "none"}
    process = machine.start(launched("main", **quick))
    wait_for(lambda: machine.runs("train", "RUNNING"), what="the training")
    postgres.stop()
    postgres.start()
    code = process.wait(timeout=900)
    again = machine.launch("main", **quick).succeeded()
    for step in ("download", "preprocess"):
        assert f"{step}: reused run" in again.output
    # Either it had gone on, or it had failed and the second one did what was missing.
    assert ("train: reused run" in again.output) == (code == 0)
    assert machine.runs(status="RUNNING") == []


def test_the_database_going_while_a_step_works_is_told_in_one_line(
    machine: Remote, postgres: Postgres
) -> None:
    process = machine.start(by_hand("train", n_estimators=50))
    wait_for(lambda: machine.runs("train", "RUNNING"), what="the training")
    process.send_signal(signal.SIGSTOP)  # that it cannot end before the database does
    postgres.stop()
    process.send_signal(signal.SIGCONT)
    try:
        assert process.wait(timeout=900) == 1
    finally:
        postgres.start()
    said = machine.log.read_text()
    assert "Traceback" not in said
    # By where it was: its own query, one of MLflow's, or a file of an earlier run.
    lines = [line for line in said.splitlines() if "could not be closed" not in line]
    assert [line for line in lines if line.startswith("train: ") and "(psycopg." in line], said
    assert PASSWORD not in said
    # The next step that starts closes the run that could not be closed.
    machine.step("download", source="sample").succeeded()
    assert machine.runs(status="RUNNING") == []


def test_a_restart_of_the_database_fails_no_request_and_following_goes_on(
    machine: Remote, postgres: Postgres, tmp_path: Path
) -> None:
    with running(tmp_path / "home", machine.store) as service:
        before = service.version()
        with Load(service.port, connections=4, pause=0.01) as load:
            postgres.stop()
            wait_for(lambda: service.ready()[1]["degraded"], what="degraded")
            assert service.ready()[0] == 200
            postgres.start()
            wait_for(lambda: not service.ready()[1]["degraded"], what="recovery")
            target = "2" if before == "registry-v1" else "1"
            machine.client.set_registered_model_alias(NAME, "champion", target)
            service.wait_for_version(f"registry-v{target}")
        load.assert_lost_nothing()
        assert PASSWORD not in service.log.read_text()


def test_a_wrong_password_gets_one_line_and_is_not_shown(
    machine: Remote, postgres: Postgres
) -> None:
    stranger = Remote(machine.path, store=postgres.uri("heart", "mistaken-password"))
    done = stranger.step("download", source="sample").failed(2)
    assert "password authentication failed" in done.output
    assert len(done.output.strip().splitlines()) == 1
    assert "mistaken" not in done.output


def test_two_steps_that_race_for_a_new_database_work_or_name_what_is_to_be_done(
    postgres: Postgres, make_clone: Callable[[], Clone], tmp_path: Path
) -> None:
    uri = postgres.create("raced")
    machines = [Remote(make_clone().path, store=uri) for _ in range(2)]
    processes = []
    for number, made in enumerate(machines):
        # MLflow's lock is a file in the temporary folder: two hosts do not share it.
        (tmp_path / str(number)).mkdir()
        words = by_hand("download", source="sample")
        processes.append(made.start(words, TMPDIR=str(tmp_path / str(number))))
    for made, process in zip(machines, processes, strict=True):
        code, said = process.wait(timeout=900), made.log.read_text()
        assert "Traceback" not in said
        if code:
            assert code == 2, said
            assert 'mlflow db upgrade "$MLFLOW_TRACKING_URI"' in said
            assert len(said.strip().splitlines()) == 1
    # Whoever lost, the database is whole.
    machines[0].step("download", source="sample").succeeded()
