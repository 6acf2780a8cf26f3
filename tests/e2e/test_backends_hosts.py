"""Two hosts of the service behind nginx, with the configuration of docs/several-hosts.md."""

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from mlflow import MlflowClient

from tests.conftest import ROOT
from tests.e2e.backends import Postgres, a_documented_server, adapted, an_nginx
from tests.e2e.clones import kill_tree
from tests.e2e.registry import NAME
from tests.pages import blocks
from tests.serving import forge
from tests.serving.service import Load, Service, free_port, running, wait_for

ANSWERED = 'heart_requests_total{route="/predict",status="200"}'


@dataclass
class Hosts:
    """Two hosts, and the port of the proxy before them."""

    services: list[Service]
    proxy: int


def configuration(services: list[Service], port: int) -> str:
    """Return the nginx configuration of the docs, with these addresses."""
    text = (ROOT / "docs" / "several-hosts.md").read_text()
    (block,) = re.findall(r"```nginx\n(.*?)```", text, re.DOTALL)
    first, second = (f"127.0.0.1:{service.port}" for service in services)
    given = {"192.0.2.11:8000": first, "192.0.2.12:8000": second, "listen 8080": f"listen {port}"}
    return adapted(block, given)


@pytest.fixture(scope="module")
def registry(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run one MLflow server on one PostgreSQL, with two versions."""
    folder = tmp_path_factory.mktemp("registry")
    (block,) = blocks("server")
    given = {"/srv/mlflow": f"{folder}/artifacts"}
    with a_documented_server(block, folder, postgres.create("hosts"), **given) as url:
        for seed in (0, 1):
            run, model = forge.log_run(url, forge.fit(seed=seed), folder, plots=False)
            forge.register(url, run, model, champion=seed == 0)
        yield url


@pytest.fixture(scope="module")
def hosts(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    folder = tmp_path_factory.mktemp("hosts")
    with ExitStack() as stack:
        services = [
            stack.enter_context(running(folder / name, registry, wait=False))
            for name in ("one", "two")
        ]
        for service in services:
            service.wait_for_version("registry-v1")
        port = free_port()
        stack.enter_context(an_nginx(folder, configuration(services, port), port))
        yield Hosts(services, port)


def test_a_promotion_reaches_both_without_a_failed_request(hosts: Hosts, registry: str) -> None:
    client = MlflowClient(registry, registry)
    with Load(hosts.proxy, connections=4) as load:
        for version in ("2", "1"):
            client.set_registered_model_alias(NAME, "champion", version)
            for service in hosts.services:
                service.wait_for_version(f"registry-v{version}")
    load.assert_lost_nothing()
    assert set(load.versions) == {"registry-v1", "registry-v2"}
    # What belongs to one host is not behind the proxy.
    for path, status in {"/ready": 200, "/metrics": 404, "/webhooks/mlflow": 404}.items():
        assert (
            requests.get(f"http://127.0.0.1:{hosts.proxy}{path}", timeout=60).status_code == status
        )


def test_a_host_without_a_model_gets_no_request_that_the_other_can_answer(
    hosts: Hosts, tmp_path: Path
) -> None:
    nothing = f"sqlite:///{tmp_path}/nothing.db"
    with running(tmp_path / "empty", nothing, wait=False) as empty:
        assert empty.ready()[0] == 503
        (tmp_path / "second").mkdir()
        port = free_port()
        text = configuration([empty, hosts.services[0]], port)
        with an_nginx(tmp_path / "second", text, port), Load(port, connections=4) as load:
            time.sleep(2)
    load.assert_lost_nothing()


def test_a_host_killed_under_load_loses_no_request_and_is_taken_back(
    hosts: Hosts, registry: str
) -> None:
    # The last test of this file: none of its two hosts is left as it was.
    first, second = hosts.services
    with Load(hosts.proxy, connections=8) as load:
        time.sleep(1)
        kill_tree(first.process)
        time.sleep(4)
    load.assert_lost_nothing()
    # It comes back at its old address, and the other one goes.
    again = {"HEART_PORT": str(first.port)}
    with running(first.log.parent, registry, wait=False, **again) as revived:
        revived.port = first.port
        revived.wait_for_version("registry-v1")
        with Load(hosts.proxy, connections=8) as load:
            before = revived.metric(ANSWERED)
            wait_for(
                lambda: revived.metric(ANSWERED) > before + 100, what="requests to who is back"
            )
            kill_tree(second.process)
            time.sleep(4)
        load.assert_lost_nothing()
