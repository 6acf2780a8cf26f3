"""The same commands through MLflow's own server, which asks who is there."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from tests.e2e.backends import Postgres, Remote, a_documented_server, register_another
from tests.e2e.clones import Clone
from tests.pages import blocks
from tests.serving.service import running, wait_for

ADMIN = "an-unlikely-password"
WHO = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": ADMIN}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which the server keeps artifacts."""
    return tmp_path_factory.mktemp("server") / "artifacts"


@pytest.fixture(scope="module")
def server(postgres: Postgres, kept: Path) -> Iterator[str]:
    """Run the documentation's server with names and passwords; return its URL."""
    (settings,) = blocks("auth.ini")
    (kept.parent / "auth.ini").write_text(settings)
    exports, command = blocks("basic-auth")[0].strip().splitlines()
    exported = dict(word.split("=") for word in exports.split()[1:])
    env = {
        **exported,
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN,
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        # A server remembers for a minute which webhooks there are.
        "MLFLOW_WEBHOOK_CACHE_TTL": "1",
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": Fernet.generate_key().decode(),
    }
    database, given = postgres.create("behind"), {"/srv/mlflow": str(kept)}
    with a_documented_server(command, kept.parent, database, env, **given) as url:
        yield url


@pytest.fixture(scope="module")
def machine(server: str, make_clone: Callable[[], Clone]) -> Iterator[Remote]:
    """Return a machine on which the documentation's section on the tracking server was followed."""
    made = Remote(make_clone().path, store=server, env=dict(WHO))
    (block,), (who,) = blocks("client"), blocks("basic-auth client")
    given = {"http://mlflow.example.org:5000": server, "a-long-password": ADMIN}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in WHO.items():
            patch.setenv(name, value)  # this process asks the server, too
        yield made.train(who + block, given, ADMIN)


def test_main_leaves_everything_with_the_server(machine: Remote, kept: Path) -> None:
    (parent,) = machine.runs("main")
    steps = [run.data.tags["heart.step"] for run in machine.children(parent)]
    assert steps == ["download", "preprocess", "register", "train"]
    assert {run.info.status for run in [*machine.runs(), *machine.launches()]} == {"FINISHED"}
    assert list(kept.rglob("model.onnx"))
    assert not (machine.path / "mlruns").exists()
    assert not (machine.path / "mlflow.db").exists()


@pytest.mark.parametrize("env", [
    {}, {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": "a-mistaken-password"},
])  # fmt: skip
def test_wrong_credentials_get_one_line(server: str, machine: Remote, env: dict[str, str]) -> None:
    stranger = Remote(machine.path, store=server, env=env)
    done = stranger.step("download", source="sample").failed(2)
    assert f"the tracking store {server} refused" in done.output
    assert "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in done.output
    assert len(done.output.strip().splitlines()) == 1
    assert "mistaken" not in done.output


def test_a_promotion_reaches_the_service_by_webhook(machine: Remote, tmp_path: Path) -> None:
    register_another(machine.store, tmp_path)
    secret = "between-the-two"
    with running(
        tmp_path / "home", machine.store, HEART_WEBHOOK_SECRET=secret,
        # It asks when it is told, and by itself not within this test.
        HEART_POLL_SECONDS="600", **WHO,
    ) as service:  # fmt: skip
        assert service.version() == "registry-v1"
        (block,) = blocks("webhook")
        here = {"heart.example.org:8000": f"127.0.0.1:{service.port}"}
        machine.follow(block, here)
        machine.step("promote", version=2).succeeded()
        service.wait_for_version("registry-v2")
        machine.step("promote", rollback="true").succeeded()
        service.wait_for_version("registry-v1")
        assert 'heart_webhooks_total{outcome="taken"}' in service.ask("/metrics")[1]
        assert ADMIN not in service.log.read_text()


def test_a_service_that_the_server_does_not_let_in_says_so_and_shows_no_password(
    machine: Remote, tmp_path: Path
) -> None:
    wrong = WHO | {"MLFLOW_TRACKING_PASSWORD": "a-mistaken-password"}
    with running(tmp_path / "home", machine.store, wait=False, **wrong) as service:
        wait_for(lambda: "401" in str(service.ready()), what="the refusal")
        assert service.ready()[0] == 503
        assert "mistaken" not in str(service.ready()) + service.log.read_text()


def test_the_key_of_the_readme_is_one_that_the_server_takes(machine: Remote) -> None:
    (block,) = blocks("webhook key")
    Fernet(machine.run("bash", "-c", block).succeeded().output.strip())
