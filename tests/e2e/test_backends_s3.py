"""Artifacts in an S3-compatible store, which steps and service reach by themselves."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.backends import AWS, Bucket, Remote, a_documented_server, register_another
from tests.e2e.clones import Clone
from tests.e2e.registry import NAME
from tests.pages import blocks
from tests.serving.service import Load, running, wait_for


@pytest.fixture(scope="module")
def server(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the documentation's server; it has no key to the bucket."""
    folder = tmp_path_factory.mktemp("server")
    (block,) = blocks("s3 server")
    # Which database it is makes no difference here, and PostgreSQL is tried elsewhere.
    with a_documented_server(block, folder, f"sqlite:///{folder}/mlflow.db") as url:
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
    listed = bucket.client.list_objects_v2(Bucket="heart")
    keys = [entry["Key"] for entry in listed["Contents"]]
    names = {key.rpartition("/")[2] for key in keys}
    assert names > {"synthetic.data", "patients.parquet", "model.onnx", "roc.png"}
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
        bucket.close()
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
