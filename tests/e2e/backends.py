"""The stores that a team runs: PostgreSQL, MLflow's server, S3 and nginx, on loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import boto3
import requests

from tests.conftest import need, program
from tests.e2e.clones import QUICK_MLFLOW, Clone, Done, kill_tree
from tests.e2e.registry import NAME
from tests.serving import forge
from tests.serving.service import environment, free_port, wait_for

PASSWORD = "quite-secret"
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

    def follow(self, block: str, given: Mapping[str, str]) -> Done:
        """Run the commands of one of the documentation's blocks, with other addresses."""
        return self.run("bash", "-euo", "pipefail", "-c", adapted(block, given)).succeeded()

    def train(self, block: str, given: Mapping[str, str], secret: str) -> Remote:
        """Follow a block up to its main, which leaves a champion and shows no secret."""
        main, serve = "-e main --env-manager local", "gunicorn -c serving/gunicorn.conf.py"
        quick = {main: f"{main} -P source=sample -P model=logistic_regression", serve: ""}
        done = self.follow(block, quick | dict(given))
        assert secret not in done.output
        assert f"{NAME} version 1, alias: champion" in done.output
        return self


def adapted(block: str, given: Mapping[str, str]) -> str:
    """Replace what stands for an address or a secret in a block; all of it must be there."""
    for name, value in given.items():
        assert name in block, f"the documentation's block no longer has {name}:\n{block}"
        block = block.replace(name, value)
    return block


def register_another(store: str, folder: Path) -> None:
    """Register a small model as the next version, which nobody has promoted."""
    run, model = forge.log_run(store, forge.fit(), folder, plots=False)
    forge.register(store, run, model, champion=False)


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
        self._call(
            "initdb", "-U", "mlflow", "-A", "scram-sha-256", "-N", f"--pwfile={folder}/password"
        )

    def _call(self, program: str, *words: str) -> None:
        who = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        given = {"PGDATA": f"{self._folder}/data", "PGHOST": "127.0.0.1", "PGPORT": str(self.port),
                 "PGUSER": "mlflow", "PGPASSWORD": PASSWORD}  # fmt: skip
        subprocess.run(
            [*who, str(self._programs / program), *words],
            check=True, cwd=self._folder, env=os.environ | given, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def start(self) -> None:
        options = "-c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        self._call("pg_ctl", "start", "-w", "-l", f"{self._folder}/log", "-o", options)

    def stop(self) -> None:
        """Stop it, and cut every connection."""
        self._call("pg_ctl", "stop", "-w", "-m", "fast")

    def uri(self, database: str, password: str = PASSWORD) -> str:
        return f"postgresql://mlflow:{password}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        """Make an empty database and return its URI."""
        self._call("createdb", database)
        return self.uri(database)


def postgres_programs() -> Path:
    """Return the folder of the newest PostgreSQL's programs, without which tests are skipped."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    users = {account.pw_name for account in pwd.getpwall()}
    possible = found and (os.geteuid() or "postgres" in users)
    need(possible, "PostgreSQL is missing: apt-get install postgresql")
    return found[-1].parent


# --- the servers of Python packages, and nginx ----------------------------------------------------


def answers(url: str) -> bool:
    """Return whether a web server is there, whatever it says."""
    with suppress(requests.RequestException):
        return bool(requests.get(url, timeout=60).status_code)
    return False


@contextmanager
def a_server(
    words: list[str], folder: Path, url: str, **env: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a web server; wait until it answers at a URL."""
    log = folder / f"{Path(words[0]).name}.log"
    given = environment(folder, **{"PYTHONPATH": ""} | QUICK_MLFLOW | env)
    with log.open("ab") as file:
        process = subprocess.Popen(words, cwd=folder, stdout=file, stderr=file, env=given)
    try:
        wait_for(lambda: answers(url) or process.poll() is not None, what=" ".join(words))
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        if process.poll() is None:
            kill_tree(process)  # MLflow's server takes five seconds to end by itself


@contextmanager
def a_documented_server(
    command: str, folder: Path, database: str, env: Mapping[str, str] | None = None, **given: str
) -> Iterator[str]:
    """Run one of the documentation's ``mlflow server`` commands here; yield its URL."""
    port = free_port()
    here = {
        "postgresql://mlflow:secret@db.example.org/mlflow": database,
        "0.0.0.0": "127.0.0.1",
        "mlflow.example.org:5000": f"127.0.0.1:{port}",
    }
    with an_mlflow_server(folder, adapted(command.strip(), here | given), port, **env or {}) as url:
        yield url


@contextmanager
def an_mlflow_server(folder: Path, command: str, port: int, **env: str) -> Iterator[str]:
    """Run an ``mlflow server`` command on a port; yield its URL."""
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


class Bucket:
    """A bucket on a server that can be closed."""

    def __init__(self, folder: Path) -> None:
        self._opened = ExitStack()
        self.url = self._opened.enter_context(an_s3(folder, free_port()))
        self.client = boto3.client(
            "s3", endpoint_url=self.url, region_name=AWS["AWS_DEFAULT_REGION"],
            aws_access_key_id=AWS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=AWS["AWS_SECRET_ACCESS_KEY"],
        )  # fmt: skip
        self._opened.callback(self.client.close)
        self.close = self._opened.close
        self.client.create_bucket(Bucket="heart")
        self.env = {**AWS, "MLFLOW_S3_ENDPOINT_URL": self.url}


@contextmanager
def an_nginx(folder: Path, configuration: str, port: int) -> Iterator[None]:
    """Run nginx with what stands in its ``http`` block."""
    nginx = program("nginx", "nginx", f"{os.environ['PATH']}:/usr/sbin")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log;"
        f"events {{}} http {{ access_log off; {temporary} {configuration} }}"
    )
    with a_server([nginx, "-c", str(folder / "nginx.conf")], folder, f"http://127.0.0.1:{port}"):
        yield
