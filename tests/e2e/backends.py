"""The stores that a team runs: PostgreSQL, MLflow's server, S3 and nginx, on loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests

from tests.conftest import need
from tests.e2e.conftest import Clone, Done
from tests.serving.service import Load, Service, free_port, wait_for

NAME = "heart-disease-model"
PASSWORD = "quite-secret"
QUICK = "-P source=sample -P model=logistic_regression"
"""What makes a main quick; the forest is tried on SQLite, and once on PostgreSQL."""
OTHER = {"model": "logistic_regression", "random_state": 1}
"""Parameters of another model, as quick to train."""
AWS = {
    "AWS_ACCESS_KEY_ID": "heart",
    "AWS_SECRET_ACCESS_KEY": "another-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@dataclass
class Remote(Clone):
    """A clone, with a home of its own, whose tracking store is elsewhere: another machine."""

    store: str = ""

    @property
    def uri(self) -> str:
        return self.store

    def environment(self, **more: str) -> dict[str, str]:
        return super().environment(**{"MLFLOW_TRACKING_URI": self.store, **more})

    def follow(self, block: str, given: Mapping[str, str], **env: str) -> Done:
        """Run the commands of one of the documentation's blocks, with other addresses."""
        return self.run("bash", "-euo", "pipefail", "-c", adapted(block, given), **env)


def adapted(block: str, given: Mapping[str, str]) -> str:
    """Replace what stands for an address or a secret in a block; all of it must be there."""
    for name, value in given.items():
        assert name in block, f"the documentation's block no longer has {name}:\n{block}"
        block = block.replace(name, value)
    return block


def assert_two_mains_leave_one_champion(machine: Remote) -> None:
    """Run two mains at once; both finish, each with a version, and one version is in charge."""
    before = machine.client.search_model_versions(f"name = '{NAME}'")
    both = [machine.start("main", source="sample", n_estimators=count) for count in (30, 31)]
    assert [process.wait(timeout=900) for process in both] == [0, 0]
    versions = machine.client.search_model_versions(f"name = '{NAME}'")
    full = [machine.client.get_model_version(NAME, str(v.version)) for v in versions]
    assert len(full) == len(before) + 2
    assert [version.aliases for version in full].count(["champion"]) == 1
    assert [version.current_stage for version in full].count("Production") == 1


def assert_main_goes_on_after_a_restart(machine: Remote, postgres: Postgres) -> None:
    """Restart the database while main trains; main, started again, does only what is missing."""
    process = machine.start("main", source="sample", n_estimators=40)
    wait_for(lambda: machine.runs("train", "RUNNING"), what="the training")
    postgres.stop()
    postgres.start()
    code = process.wait(timeout=900)
    again = machine.launch("main", source="sample", n_estimators=40).succeeded()
    for step in ("download", "preprocess"):
        assert f"{step}: reused run" in again.output
    # Either it had gone on, or it had failed and the second one did what was missing.
    assert ("train: reused run" in again.output) == (code == 0)
    assert machine.runs(status="RUNNING") == []


def assert_a_restart_fails_no_request(
    machine: Remote, postgres: Postgres, service: Service
) -> None:
    """Restart the database under a service; it answers all along, and follows again."""
    before = service.version()
    with Load(service.port, connections=4) as load:
        postgres.stop()
        wait_for(lambda: service.ready()[1]["degraded"], what="degraded")
        assert service.ready()[0] == 200
        postgres.start()
        wait_for(lambda: not service.ready()[1]["degraded"], what="recovery")
        target = "2" if before == "registry-v1" else "1"
        machine.client.set_registered_model_alias(NAME, "champion", target)
        service.wait_for_version(f"registry-v{target}", 60)
    load.assert_lost_nothing()


def end(process: subprocess.Popen[bytes]) -> None:
    """End a server, and then what it has left behind."""
    started = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    process.wait(timeout=60)
    for child in started:
        if child.is_running():
            child.kill()


# --- PostgreSQL ------------------------------------------------------------------------------


class Postgres:
    """A PostgreSQL server with a data folder of its own.

    It refuses to run as root; root starts it as the user that Debian's package has made.
    """

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder, self.port = programs, folder, free_port()
        (folder / "password").write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres")
        self._call("initdb", "-D", self._data, "-U", "mlflow", "-A", "scram-sha-256", "-N",
                   f"--pwfile={folder}/password")  # fmt: skip

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def _call(self, program: str, *words: str) -> None:
        who = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        subprocess.run(
            [*who, str(self._programs / program), *words],
            check=True, cwd=self._folder, env={**os.environ, "PGPASSWORD": PASSWORD},
            stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        self._call("pg_ctl", "-D", self._data, "-l", f"{self._folder}/log", "-w", "-o", options,
                   "start")  # fmt: skip

    def stop(self) -> None:
        """Stop it, and cut every connection."""
        self._call("pg_ctl", "-D", self._data, "-m", "fast", "-w", "stop")

    def uri(self, database: str, password: str = PASSWORD) -> str:
        return f"postgresql://mlflow:{password}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        """Make an empty database and return its URI."""
        self._call("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "mlflow", database)
        return self.uri(database)


def postgres_programs() -> Path | None:
    """Return the folder of the newest PostgreSQL's programs, where the server is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    users = {account.pw_name for account in pwd.getpwall()}
    return found[-1].parent if found and (os.geteuid() or "postgres" in users) else None


@contextmanager
def a_postgres() -> Iterator[Postgres]:
    programs = postgres_programs()
    need(programs, "PostgreSQL is missing: apt-get install postgresql")
    assert programs
    # Not below pytest's own folder, into which nobody else may look.
    folder = Path(tempfile.mkdtemp(prefix="heart-postgres-"))
    try:
        server = Postgres(programs, folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


# --- the servers of Python packages, and nginx ----------------------------------------------------


def answers(url: str) -> bool:
    """Return whether a web server is there, whatever it says."""
    try:
        requests.get(url, timeout=60)
    except requests.RequestException:
        return False
    return True


@contextmanager
def a_server(words: list[str], folder: Path, url: str, **env: str) -> Iterator[None]:
    """Run a web server; wait until it answers at a URL."""
    log = folder / f"{Path(words[0]).name}.log"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "AWS_"))}
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    with log.open("ab") as file:
        process = subprocess.Popen(
            words, cwd=folder, stdout=file, stderr=file,
            env={**kept, "MLFLOW_DISABLE_TELEMETRY": "true", **env},
        )  # fmt: skip
    try:
        wait_for(lambda: answers(url) or process.poll() is not None, what=" ".join(words))
        assert process.poll() is None, log.read_text()
        yield
    finally:
        if process.poll() is None:
            end(process)


@contextmanager
def an_mlflow_server(folder: Path, command: str, port: int, **env: str) -> Iterator[str]:
    """Run one of the documentation's ``mlflow server`` commands on a port; yield its URL."""
    url = f"http://127.0.0.1:{port}"
    folder.mkdir(parents=True, exist_ok=True)
    words = f"exec {command} --port {port} --workers 1"
    with a_server(["bash", "-c", words], folder, f"{url}/health", **env):
        yield url


@contextmanager
def an_s3(folder: Path, port: int) -> Iterator[str]:
    """Run an S3-compatible server, which keeps everything in memory; yield its URL."""
    url = f"http://127.0.0.1:{port}"
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with a_server(words, folder, url):
        yield url


@contextmanager
def an_nginx(folder: Path, configuration: str, port: int) -> Iterator[int]:
    """Run nginx with what stands in its ``http`` block; yield its port."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    need(program, "nginx is missing: apt-get install nginx")
    assert program
    (folder / "heart.conf").write_text(configuration)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi",
                                                          "uwsgi", "scgi")
    )  # fmt: skip
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log;"
        f"events {{}} http {{ access_log off; {temporary} include {folder}/heart.conf; }}"
    )
    with a_server([program, "-c", str(folder / "nginx.conf")], folder, f"http://127.0.0.1:{port}"):
        yield port
