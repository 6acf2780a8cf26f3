"""The running service follows a real registry."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from tests.serving import forge
from tests.serving.service import (
    POLL_SECONDS,
    Load,
    Service,
    environment,
    running,
    wait_for,
)

NAME = "heart-disease-model"

# MLflow's own: stages are deprecated there, and a type hint of its own code does not please it.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*model_version_stage.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*[Ss]tages.*:FutureWarning"),
]


class World:
    """A registry of its own with models, and what is done to it."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.folder = folder
        shutil.copytree(source, folder, dirs_exist_ok=True)
        self.database = folder / "mlflow.db"
        self.uri = f"sqlite:///{self.database}"
        # The copy's artifacts are its own: a test may damage them.
        with sqlite3.connect(self.database) as connection:
            for table, column in (
                ("experiments", "artifact_location"),
                ("runs", "artifact_uri"),
                ("logged_models", "artifact_location"),
                ("model_versions", "storage_location"),
            ):
                connection.execute(
                    f"UPDATE {table} SET {column} = replace({column}, ?, ?)",
                    (str(source), str(folder)),
                )
        connection.close()

    @property
    def client(self) -> mlflow.MlflowClient:
        return mlflow.MlflowClient(self.uri, self.uri)

    def champion(self, version: int) -> None:
        self.client.set_registered_model_alias(NAME, "champion", str(version))

    def artifacts(self, version: int) -> Path:
        found = self.client.get_model_version(NAME, str(version))
        return forge.artifact_folder(self.uri, str(found.source))


@pytest.fixture(scope="session")
def forged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a registry with four versions: forests 1 and 2, boosting without twin 3, forest 4."""
    folder = tmp_path_factory.mktemp("forged")
    uri = f"sqlite:///{folder}/mlflow.db"
    for number, kind in enumerate(("forest", "forest", "boosting", "forest")):
        run, model = forge.log_run(
            uri, forge.fit(kind, seed=number), folder, twin=kind != "boosting"
        )
        forge.register(uri, run, model, champion=number == 0)
    return folder


@pytest.fixture
def world(forged: Path, tmp_path: Path) -> World:
    return World(tmp_path / "world", forged)


@pytest.fixture
def service(world: World, tmp_path: Path) -> Iterator[Service]:
    with running(tmp_path / "home", world.uri) as made:
        yield made


def test_an_alias_that_moves_moves_the_service_without_a_failed_request(
    world: World, service: Service
) -> None:
    assert service.version() == "registry-v1"
    with Load(service.port) as load:
        for version in (2, 4, 1):
            world.champion(version)
            service.wait_for_version(f"registry-v{version}")
    load.assert_lost_nothing()
    assert set(load.versions) == {"registry-v1", "registry-v2", "registry-v4"}


def test_the_default_registry_is_followed_in_a_folder_of_any_name(
    forged: Path, tmp_path: Path
) -> None:
    world = World(tmp_path / "Schöne Daten", forged)
    # No URI is set: the database is that of the folder in which the service is started.
    with running(world.folder, "", workers=1) as service:
        assert service.version() == "registry-v1"
        world.champion(2)
        service.wait_for_version("registry-v2", 60)


def test_promotion_and_rollback_show_within_the_polling_interval_and_two_seconds(
    world: World, service: Service, tmp_path: Path
) -> None:
    def promote(*words: str) -> None:
        command = [sys.executable, "-m", "steps.promote", *words]
        env = environment(tmp_path, MLFLOW_TRACKING_URI=world.uri)
        subprocess.run(command, env=env, cwd=tmp_path, check=True, timeout=900)

    seconds = []
    with Load(service.port, connections=2) as load:
        for word, version in [("--version=2", "registry-v2"), ("--rollback=true", "registry-v1")]:
            promote(word)
            start = time.monotonic()
            service.wait_for_version(version)
            seconds.append(time.monotonic() - start)
    load.assert_lost_nothing()
    # The quicker of the two: this machine may have had other things to do in between.
    assert min(seconds) < POLL_SECONDS + 2


def test_a_model_without_a_twin_is_served_by_scikit_learn(world: World, service: Service) -> None:
    world.champion(3)
    service.wait_for_version("registry-v3", 120)
    assert service.predict()[1]["engine"] == "scikit-learn"
    assert service.ready()[1]["engine"] == "scikit-learn"
    assert "Traceback" not in service.log.read_text()
    assert "physical cores" not in service.log.read_text()


def test_without_an_alias_the_stage_and_then_the_latest_version_is_served(
    world: World, service: Service
) -> None:
    client = world.client
    client.transition_model_version_stage(NAME, "2", "Production")
    wait_for(lambda: service.ready()[1]["notes"], what="the note that alias and stage disagree")
    note = service.ready()[1]["notes"][0]
    assert "version 1" in note
    assert "version 2" in note
    assert "mlflow run . -e promote" in note
    client.delete_registered_model_alias(NAME, "champion")
    service.wait_for_version("registry-v2")
    assert service.ready()[1]["source"] == "stage Production"
    client.set_model_version_tag(NAME, "4", "gate.verdict", "rejected")
    client.transition_model_version_stage(NAME, "2", "Archived")
    service.wait_for_version("registry-v3", 120)


def test_a_deleted_version_is_left(world: World, service: Service) -> None:
    world.client.delete_model_version(NAME, "1")
    service.wait_for_version("registry-v4")


@pytest.mark.parametrize("fault", ["corrupt ONNX model", "no files"])
def test_a_champion_that_fails_leaves_the_old_one_serving(
    world: World, service: Service, fault: str
) -> None:
    if fault == "no files":
        shutil.rmtree(world.artifacts(2))
    else:
        (world.artifacts(2) / "extra_files" / "twin.onnx").write_bytes(b"\0" * 1000)
    with Load(service.port) as load:
        world.champion(2)
        wait_for(lambda: service.ready()[1]["problems"], what="a problem in /ready")
        time.sleep(1)
    load.assert_lost_nothing()
    assert set(load.versions) == {"registry-v1"}
    status, ready = service.ready()
    assert status == 200
    assert ready["degraded"] is True
    assert "registry-v2" in ready["problems"][0]
    assert "heart_failed_swaps_total 1.0" in service.ask("/metrics")[1]
    world.champion(4)
    service.wait_for_version("registry-v4")
    wait_for(lambda: not service.ready()[1]["degraded"], what="the report on version 4")


def test_the_registrys_database_may_go_and_come_back(world: World, service: Service) -> None:
    away = world.database.with_suffix(".away")
    with Load(service.port) as load:
        world.database.rename(away)
        wait_for(lambda: service.ready()[1]["degraded"], what="degraded")
        assert not world.database.exists()
        away.rename(world.database)
        world.champion(2)
        service.wait_for_version("registry-v2")
    load.assert_lost_nothing()
    assert service.ready()[1]["degraded"] is False


def test_a_locked_registry_stalls_nobody(world: World, service: Service) -> None:
    lock = sqlite3.connect(world.database, isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    try:
        with Load(service.port, connections=4) as load:
            time.sleep(6)
    finally:
        lock.rollback()
        lock.close()
    load.assert_lost_nothing()
    assert load.quantile(1.0) < 4  # they did not wait for the lock


def test_a_start_without_the_registry_serves_what_was_served_last(
    world: World, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    with running(home, world.uri) as first:
        first.wait_for_version("registry-v1")
    world.database.rename(world.database.with_suffix(".away"))
    with running(home, world.uri) as second:
        assert second.version() == "registry-v1"
        ready = second.ready()[1]
        assert ready["degraded"] is True
        assert "disk cache" in ready["source"]


def test_a_damaged_disk_cache_is_fetched_again(world: World, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running(home, world.uri) as service:
        for twin in (home / "cache").rglob("twin.onnx"):
            twin.write_bytes(b"damaged")
        with Load(service.port, connections=4, retry=True) as load:
            # A new worker cannot load what is published; the follower puts it right.
            service.workers()[0].kill()
            wait_for(lambda: len(service.workers()) == 2, what="two workers")
            time.sleep(3)
            service.wait_for_version("registry-v1")
        load.assert_lost_nothing()
    for twin in (home / "cache").rglob("twin.onnx"):
        twin.write_bytes(b"damaged")
    with running(home, world.uri) as again:
        assert again.version() == "registry-v1"


def test_nothing_trained_yet_and_then_something(forged: Path, tmp_path: Path) -> None:
    database = tmp_path / "late" / "mlflow.db"
    with running(tmp_path / "home", f"sqlite:///{database}", wait=False) as service:
        wait_for(lambda: answers(service), what="an answer")
        status, problem = service.predict()
        assert (status, problem["detail"]) == (503, "Model not loaded. Service unavailable.")
        wait_for(lambda: "mlflow run ." in str(service.ready()[1]), what="what to run")
        assert service.ready()[0] == 503
        assert not database.exists()
        World(database.parent, forged)
        service.wait_for_version("registry-v1")


def answers(service: Service) -> bool:
    try:
        service.ready()
    except OSError:
        return False
    return True


def test_the_latest_train_run_and_then_the_local_file_are_the_last_resorts(
    world: World, tmp_path: Path
) -> None:
    world.client.delete_registered_model(NAME)
    with running(tmp_path / "home", world.uri) as service:
        assert service.version().startswith("run-")
        assert service.ready()[1]["source"] == "latest train run"
    local = tmp_path / "models" / "model.pkl"
    save_pickle(local)
    empty = f"sqlite:///{tmp_path}/nothing.db"
    with running(tmp_path / "other", empty, HEART_LOCAL_MODEL=str(local)) as service:
        assert service.version() == "local-pickle"
        assert service.predict()[1]["engine"] == "scikit-learn"
    never = {"HEART_LOCAL_MODEL": str(local), "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    with running(tmp_path / "never", empty, wait=False, **never) as service:
        told = wait_for(lambda: answers(service) and service.ready()[1]["problems"])
        assert told == [
            "The local file is not taken: MLFLOW_ALLOW_PICKLE_DESERIALIZATION is false."
        ]
        assert service.predict()[0] == 503
    local.write_bytes(local.read_bytes() + b"x")
    with running(tmp_path / "third", empty, wait=False, HEART_LOCAL_MODEL=str(local)) as service:
        wait_for(lambda: answers(service) and service.ready()[1]["degraded"])
        assert service.predict()[0] == 503


def test_a_pickle_in_the_registry_is_served_only_where_the_operator_says_so(
    world: World, tmp_path: Path
) -> None:
    import mlflow.sklearn

    model = forge.log_run(world.uri, forge.fit("logistic"), tmp_path / "work", twin=False)
    folder = forge.artifact_folder(world.uri, model[1])
    shutil.rmtree(tmp_path / "pickled", ignore_errors=True)
    mlflow.sklearn.save_model(
        forge.fit("logistic"), tmp_path / "pickled", serialization_format="cloudpickle",
        pip_requirements=["scikit-learn"],
    )  # fmt: skip
    extras = shutil.move(folder / "extra_files", tmp_path / "extras")
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "pickled", folder)
    shutil.move(extras, folder / "extra_files")
    version = forge.register(world.uri, *model)
    pinned = {"MODEL_URI": f"models:/{NAME}/{version}"}
    with running(tmp_path / "home", world.uri, wait=False, **pinned) as service:
        (told,) = wait_for(lambda: answers(service) and service.ready()[1]["problems"], 60)
        assert "The model is a pickle, which runs code when it is loaded" in told
        assert service.predict()[0] == 503
    said = {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "true"}
    with running(tmp_path / "home", world.uri, **pinned, **said) as service:
        assert service.version() == f"registry-v{version}"


def save_pickle(path: Path) -> None:
    import hashlib

    import joblib

    path.parent.mkdir(parents=True)
    joblib.dump(forge.fit("logistic"), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name("model.pkl.sha256").write_text(f"{digest}  model.pkl\n")
    path.with_suffix(".json").write_text(json.dumps(forge.facts("heart.csv")))


@pytest.mark.parametrize(
    ("uri", "version"),
    [
        (f"models:/{NAME}/2", "registry-v2"),
        ("runs", "run-"),
        ("path", "path-"),
    ],
)
def test_model_uri_pins_one_source(world: World, tmp_path: Path, uri: str, version: str) -> None:
    if uri == "runs":
        run = world.client.get_model_version(NAME, "2").run_id
        uri = f"runs:/{run}/random_forest_model"
    elif uri == "path":
        uri = str(world.artifacts(2))
    with running(tmp_path / "home", world.uri, workers=1, MODEL_URI=uri) as service:
        assert service.version().startswith(version)


def test_a_pinned_source_that_fails_is_an_error_and_no_fallback(
    world: World, tmp_path: Path
) -> None:
    uri = f"models:/{NAME}/99"
    with running(tmp_path / "home", world.uri, workers=1, wait=False, MODEL_URI=uri) as service:
        wait_for(lambda: answers(service) and service.ready()[1]["problems"])
        status, ready = service.ready()
        assert status == 503
        assert "MODEL_URI" in ready["detail"]


@pytest.mark.parametrize(
    ("kind", "preload"), [("sync", False), ("gthread", True), ("gevent", False), ("gevent", True)]
)
def test_a_plain_gunicorn_serves_and_follows_with_any_worker_class(
    world: World, tmp_path: Path, kind: str, preload: bool
) -> None:
    command = ("gunicorn", "serving:create_app()", "-k", kind, "-w", "2", "-b", "127.0.0.1:{port}")
    command += ("--no-control-socket", *(["--preload"] if preload else []))
    with running(tmp_path / "home", world.uri, command=command) as service:
        world.champion(2)
        service.wait_for_version("registry-v2")
        for _ in range(20):
            service.predict()
        metrics = service.ask("/metrics")[1]
        counted = [
            float(line.split()[-1])
            for line in metrics.splitlines()
            if line.startswith('heart_requests_total{route="/predict",status="200"}')
        ]
        assert counted
        assert counted[0] >= 40


def test_requests_go_on_while_a_follower_is_killed_and_another_takes_over(
    world: World, service: Service
) -> None:
    with Load(service.port, connections=4) as load:
        service.follower().kill()
        time.sleep(1)
        world.champion(2)
        service.wait_for_version("registry-v2")
    load.assert_lost_nothing()
