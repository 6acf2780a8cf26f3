"""The published OpenAPI held against the running service by schemathesis, and Cleveland's rows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import forge
from tests.serving.service import Service, environment, running

pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")


NAME = "heart-disease-model"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("registry")
    uri = f"sqlite:///{folder}/mlflow.db"
    forge.register(uri, *forge.log_run(uri, forge.fit(), folder))
    return uri


@pytest.fixture(scope="module")
def service(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("home")
    with running(home, registry, HEART_WEBHOOK_SECRET="a secret for tests") as made:
        yield made


def test_description_and_service_agree(new_folder: Path, tmp_path: Path) -> None:
    settings = {"MODEL_URI": str(new_folder), "HEART_WEBHOOK_SECRET": "a secret for tests"}
    with running(tmp_path / "home", "", workers=1, **settings) as service:
        check_with_schemathesis(service, tmp_path)


def check_with_schemathesis(service: Service, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run"),
            f"http://127.0.0.1:{service.port}/openapi.json",
            *("--checks", "all", "--max-examples", "60", "--seed", "1", "--phases"),
            "examples,coverage,fuzzing",
        ],
        env=environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
