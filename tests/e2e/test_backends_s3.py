"""Artifacts in an S3-compatible store, which steps and service reach by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest

from tests.e2e.backends import (
    AWS,
    Remote,
    adapted,
    an_mlflow_server,
    an_s3,
    register_another,
)
from tests.e2e.conftest import Clone
from tests.e2e.registry import NAME
from tests.pages import blocks
from tests.serving.service import Load, free_port, running, wait_for


class Bucket:
    """A bucket on a server that can be stopped."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._server = an_s3(folder, self.port)
        self.url = self._server.__enter__()
        self._client = boto3.client(
            "s3", endpoint_url=self.url, region_name=AWS["AWS_DEFAULT_REGION"],
            aws_access_key_id=AWS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=AWS["AWS_SECRET_ACCESS_KEY"],
        )  # fmt: skip
        self._client.create_bucket(Bucket="heart")
        self.stopped = False

    @property
    def env(self) -> dict[str, str]:
        return {**AWS, "MLFLOW_S3_ENDPOINT_URL": self.url}

    def keys(self) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket="heart")
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def stop(self) -> None:
        if not self.stopped:
            self._client.close()
            self._server.__exit__(None, None, None)
        self.stopped = True


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    made = Bucket(tmp_path_factory.mktemp("s3"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def server(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the documentation's server; it has no key to the bucket."""
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    (block,) = blocks("s3 server")
    command = adapted(block.strip(), {
        # Which database it is makes no difference here, and PostgreSQL is tried elsewhere.
        "postgresql://mlflow:secret@db.example.org/mlflow": f"sqlite:///{folder}/mlflow.db",
        "0.0.0.0": "127.0.0.1",
        "mlflow.example.org:5000": f"127.0.0.1:{port}",
    })  # fmt: skip
    with an_mlflow_server(folder, command, port) as url:
        yield url


@pytest.fixture(scope="module")
def machine(bucket: Bucket, server: str, make_clone: Callable[[], Clone]) -> Remote:
    """Return a machine on which the documentation's section on S3 was followed."""
    made = Remote(make_clone().path, store=server, env=bucket.env)
    (block,) = blocks("s3 client")
    given = {
        "http://mlflow.example.org:5000": server,
        "https://s3.example.org": bucket.url,
        "AWS_ACCESS_KEY_ID=key": f"AWS_ACCESS_KEY_ID={AWS['AWS_ACCESS_KEY_ID']}",
        "its-secret": AWS["AWS_SECRET_ACCESS_KEY"],
    }
    return made.train(block, given, AWS["AWS_SECRET_ACCESS_KEY"])


def test_main_leaves_its_artifacts_in_the_bucket(machine: Remote, bucket: Bucket) -> None:
    keys = bucket.keys()
    for name in ("heart+disease", "synthetic.data", "patients.parquet", "model.onnx", "roc.png"):
        found = any(key.endswith(name) for key in keys)
        assert found == (name != "heart+disease"), keys
    assert all(key.startswith("artifacts/") for key in keys)
    assert not (machine.path / "mlruns").exists()


def test_a_second_main_reads_the_bucket_and_reuses_what_is_there(machine: Remote) -> None:
    done = machine.launch("main", source="sample", model="logistic_regression").succeeded()
    for step in ("download", "preprocess", "train"):
        assert f"{step}: reused run" in done.output


def test_another_machine_with_an_empty_cache_serves_and_goes_on_without_the_bucket(
    machine: Remote, bucket: Bucket, make_clone: Callable[[], Clone], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    home = tmp_path / "another"
    for name, value in bucket.env.items():
        monkeypatch.setenv(name, value)
    register_another(machine.store, tmp_path)
    with running(home, machine.store, **bucket.env) as service:
        assert service.version() == "registry-v1"
        assert service.ready()[1]["source"] == "alias champion"
        assert list((home / "cache").rglob("model.onnx"))
        bucket.stop()
        with Load(service.port, connections=4, pause=0.01) as load:
            # The registry names a version whose files cannot be had: the old one stays.
            machine.client.set_registered_model_alias(NAME, "champion", "2")
            wait_for(lambda: service.ready()[1]["problems"], what="a problem in /ready")
        load.assert_lost_nothing()
        assert set(load.versions) == {"registry-v1"}
        problems = service.ready()[1]["problems"]
        assert "registry-v2" in problems[0]
        assert "cannot be fetched" in problems[0]
        assert len(problems[0].splitlines()) == 1
        assert AWS["AWS_SECRET_ACCESS_KEY"] not in service.log.read_text() + problems[0]
    # And a step says it in one line.
    stranger = Remote(make_clone().path, store=machine.store, env=bucket.env)
    done = stranger.step("download", source="sample").failed(1)
    said = [line for line in done.output.splitlines() if line.startswith("download: ")]
    assert len(said) == 1, done.output
    assert bucket.url in said[0]
    assert AWS["AWS_SECRET_ACCESS_KEY"] not in done.output
