"""The published OpenAPI held against the running service by schemathesis, and Cleveland's rows."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from clinical.schema import FEATURE_NAMES
from tests.serving import forge
from tests.serving.service import Service, environment, running

pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("registry")
    uri = f"sqlite:///{folder}/mlflow.db"
    forge.register(uri, *forge.log_run(uri, forge.fit(), folder))
    with running(folder / "home", uri, HEART_WEBHOOK_SECRET="a secret for tests") as made:
        yield made


def test_no_request_gets_a_500_or_an_undocumented_status(service: Service, tmp_path: Path) -> None:
    checks = "not_a_server_error,status_code_conformance,content_type_conformance"
    checks += ",response_schema_conformance"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run"),
            f"http://127.0.0.1:{service.port}/openapi.json",
            *("--checks", checks, "--max-examples", "60", "--seed", "1", "--phases"),
            "examples,coverage,fuzzing",
        ],
        env=environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_every_cleveland_row_gets_the_offline_probability(service: Service, data_dir: Path) -> None:
    from clinical.dialects import read_patients

    name = "processed.cleveland.data"
    with zipfile.ZipFile(data_dir / "heart+disease.zip") as archive:
        frame = read_patients(archive.read(name), name).frame
    rows = frame[list(FEATURE_NAMES)].to_numpy(float)
    expected = forge.probabilities(forge.fit(), rows)
    for row, probability in zip(rows, expected, strict=True):
        values = [None if np.isnan(value) else value for value in row]
        body = json.dumps(dict(zip(FEATURE_NAMES, values, strict=True))).encode()
        status, answer = service.ask("/predict", body)
        assert status == 200, answer
        assert answer["probability"] == pytest.approx(probability, abs=1e-5)
