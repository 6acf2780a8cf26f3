"""The published OpenAPI held against the running service by schemathesis, and Cleveland's rows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinical.schema import FEATURE_NAMES
from tests.serving import forge
from tests.serving.routes.test_invocations import bodies
from tests.serving.service import Service, environment, free_port, running, wait_for

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
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_batches_get_the_answers_of_mlflow_models_serve(
    service: Service, registry: str, tmp_path: Path
) -> None:
    rows = forge.patients(200, seed=6, unknown=0.1)
    many = pd.DataFrame(forge.patients(10_000, seed=7), columns=list(FEATURE_NAMES))
    port = free_port()
    words = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{NAME}@champion"]
    words += ["--env-manager", "local", "-p", str(port), "-w", "1"]
    env = environment(tmp_path, MLFLOW_TRACKING_URI=registry)
    with (tmp_path / "peer.log").open("wb") as log:
        peer = subprocess.Popen(
            words, env=env, cwd=tmp_path, stdout=log, stderr=log, start_new_session=True
        )
    theirs = Service(peer, port, tmp_path / "peer.log")
    try:
        wait_for(lambda: peer.poll() is not None or answers(theirs), 90, "mlflow models serve")
        for name, body in bodies(rows).items():
            if name == "with params":  # they refuse what the model's signature has not
                continue
            text = json.dumps(body).encode()
            assert service.ask("/invocations", text) == theirs.ask("/invocations", text), name
        csv = {"Content-Type": "text/csv"}
        for frame in (many, many[many.columns[::-1]], many.assign(thal=None)):
            text = frame.to_csv(index=False).encode()
            found, wanted = (one.ask("/invocations", text, csv) for one in (service, theirs))
            assert found == wanted
        split = json.dumps({"dataframe_split": json.loads(many.to_json(orient="split"))}).encode()
        assert service.ask("/invocations", split) == theirs.ask("/invocations", split)
    finally:
        os.killpg(peer.pid, signal.SIGTERM)
        peer.wait(30)


def answers(one: Service) -> bool:
    try:
        return one.ask("/ping")[0] == 200
    except OSError:
        return False


def test_every_cleveland_row_gets_the_offline_probability(service: Service, data_dir: Path) -> None:
    from clinical.patients import read_patients

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
