"""A stored model in the hands of MLflow's own tools, without this project's code on the path.

One process loads all three flavours, one makes a fresh environment, one serves: each import of
MLflow takes seconds.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from flask.testing import FlaskClient

from clinical.schema import FEATURE_NAMES, FEATURES
from risk_model.flavours import saving
from risk_model.metadata import References
from risk_model.model import Origin, load
from serving import create_app
from tests.conftest import ROOT, need
from tests.e2e.backends import a_server
from tests.serving import forge
from tests.serving.conftest import FakeFollowing
from tests.serving.service import JSON, Service, free_port, wait_for

CSV = {"Content-Type": "text/csv"}


@dataclass
class Stored:
    """A model as `train` logs it, with patients and what the fitted pipeline says of them."""

    uri: str
    folder: Path
    store: str
    patients: pd.DataFrame
    expected: Any

    def environment(self) -> dict[str, str]:
        """Return an environment in which nobody finds this project."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "HEART_"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
        return {
            **kept,
            "PATH": path,
            "PYTHONPATH": "",
            "MLFLOW_TRACKING_URI": self.store,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        }

    def run(self, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command where this project's code is not, and wait for it."""
        return subprocess.run(
            words, cwd=home, env=self.environment(), capture_output=True, text=True,
            timeout=600, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def stored(pipeline: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    folder = tmp_path_factory.mktemp("store")
    before, store = mlflow.get_tracking_uri(), f"sqlite:///{folder}/mlflow.db"
    mlflow.set_tracking_uri(store)
    experiment = mlflow.create_experiment("e", artifact_location=str(folder / "artifacts"))
    rows = forge.patients(40, seed=31, unknown=0.3)
    inputs = tuple(tuple(None if np.isnan(v) else v for v in row) for row in rows.tolist())
    references = References(
        inputs=inputs, probabilities=tuple(forge.probabilities(pipeline, rows).tolist())
    )
    pins = (ROOT / "requirements.txt").read_text()
    with mlflow.start_run(experiment_id=experiment) as run:
        known = forge.metadata(format=2, run_id=run.info.run_id)
        contents = saving.Contents(pipeline, forge.to_onnx(pipeline), known, references)
        uri = saving.log("random_forest_model", contents, pins, {})
    artifacts = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))
    patients = pd.DataFrame(rows, columns=list(FEATURE_NAMES))
    yield Stored(uri, artifacts, store, patients, forge.probabilities(pipeline, rows))
    mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module")
def service(stored: Stored, tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    model = load(Origin(version="registry-v1", directory=str(stored.folder)))
    following = FakeFollowing(tmp_path_factory.mktemp("state"), model)
    return create_app({"following": following, "HEART_ACCESS_LOG": ""}).test_client()


LOADED = """
import importlib.util, json, sys
import mlflow, numpy as np, onnxruntime, pandas as pd
assert not [n for n in ("clinical", "risk_model", "steps") if importlib.util.find_spec(n)]
uri, source = sys.argv[1:]
patients = pd.read_csv(source)
answer = mlflow.pyfunc.load_model(uri).predict(patients)
pipeline = mlflow.sklearn.load_model(uri)
session = onnxruntime.InferenceSession(mlflow.onnx.load_model(uri).SerializeToString())
_, both = session.run(None, {"patients": patients.to_numpy(np.float32)})
labelled = patients.assign(disease=answer["prediction"])
labelled.loc[0, "disease"] = 1 - labelled.loc[0, "disease"]
with mlflow.start_run():
    measured = mlflow.models.evaluate(
        uri, labelled, targets="disease", model_type="classifier",
        model_config={"output": "prediction"}, evaluator_config={"log_explainer": False},
    ).metrics
print(json.dumps({
    "python_function": answer["probability"].tolist(),
    "prediction": answer["prediction"].tolist(),
    "risk_level": answer["risk_level"].tolist(),
    "sklearn": pipeline.predict_proba(patients)[:, 1].tolist(),
    "onnx": both[:, 1].tolist(),
    "accuracy": measured["accuracy_score"],
}))
"""


def test_all_flavours_agree_with_the_service(
    stored: Stored, service: FlaskClient, tmp_path: Path
) -> None:
    source = tmp_path / "patients.csv"
    stored.patients.to_csv(source, index=False)
    done = stored.run(tmp_path, sys.executable, "-c", LOADED, stored.uri, str(source))
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    served = [
        service.post("/predict", json=record).get_json()
        for record in stored.patients.astype(object).where(stored.patients.notna(), None).to_dict(
            "records")
    ]  # fmt: skip
    required = [feature.name for feature in FEATURES if not feature.nullable]
    assert stored.patients[required].notna().all(axis=None)
    for flavour in ("python_function", "sklearn", "onnx"):
        np.testing.assert_allclose(found[flavour], stored.expected, atol=1e-5)
        answers = [answer["probability"] for answer in served]
        np.testing.assert_allclose(found[flavour], answers, atol=1e-5)
    for name in ("prediction", "risk_level"):
        assert found[name] == [answer[name] for answer in served]
    assert found["accuracy"] == pytest.approx(1 - 1 / len(served))


def test_a_fresh_environment_of_the_models_own_requirements_predicts(
    stored: Stored, tmp_path: Path
) -> None:
    need(shutil.which("uv", path=stored.environment()["PATH"]), "uv is not installed")
    # Whole numbers as whole numbers, and without the columns that may be unknown.
    optional = [feature.name for feature in FEATURES if feature.nullable]
    known = stored.patients.drop(columns=optional).round().astype("int64")
    known.to_csv(tmp_path / "patients.csv", index=False)
    mlflow_command = str(Path(sys.executable).with_name("mlflow"))
    words = [mlflow_command, "models", "predict", "-m", stored.uri, "-i", "patients.csv"]
    words += ["-t", "csv", "-o", "answer.json", "--env-manager", "uv"]
    done = stored.run(tmp_path, *words)
    assert done.returncode == 0, done.stderr[-4000:]
    answers = json.loads((tmp_path / "answer.json").read_text())["predictions"]
    expected = mlflow.pyfunc.load_model(stored.uri).predict(known)
    found = pd.DataFrame(answers).astype(expected.dtypes)[list(expected.columns)]
    pd.testing.assert_frame_equal(found, expected, atol=1e-5)


def test_mlflows_server_and_ours_answer_alike(
    stored: Stored, service: FlaskClient, tmp_path: Path
) -> None:
    port = free_port()
    words = [sys.executable, "-m", "mlflow", "models", "serve", "-m", stored.uri]
    words += ["--env-manager", "local", "-p", str(port), "-w", "1"]
    url = f"http://127.0.0.1:{port}/ping"
    with a_server(words, tmp_path, url, **stored.environment()) as peer:
        theirs = Service(peer, port, tmp_path)
        wait_for(lambda: theirs.ask("/ping")[0] == 200, what="its model")
        for body in requests(stored.patients):
            compare(service, theirs, json.dumps(body).encode(), JSON)
        for made in (stored.patients, stored.patients.drop(columns=["ca", "thal"])):
            compare(service, theirs, made.to_csv(index=False).encode(), CSV)
        impossible = stored.patients.assign(age=98765).to_csv(index=False).encode()
        for status, answer in (
            ask(service, impossible, CSV),
            theirs.ask("/invocations", impossible, CSV),
        ):
            text = json.dumps(answer)
            assert status == 400
            assert "'age' must be a number in [18, 110] years (rows 1, 2, 3, 4, 5 and 35" in text
            assert "98765" not in text


def requests(patients: pd.DataFrame) -> list[dict[str, Any]]:
    """Return patients in each of the protocol's formats, with unknown findings as null."""
    listed = patients.astype(object).where(patients.notna(), None)
    records = listed.to_dict("records")
    required = [feature.name for feature in FEATURES if not feature.nullable]
    return [
        {"dataframe_split": {"columns": list(listed), "data": listed.to_numpy().tolist()}},
        {"dataframe_records": records},
        {"dataframe_records": listed[required].round().to_dict("records")},
        {"dataframe_split": {"columns": required, "data": listed[required].to_numpy().tolist()}},
        {"inputs": listed[required].to_dict("list")},
        {"instances": records},
        {"inputs": listed.to_dict("list")},
        {"instances": listed.to_numpy().tolist()},
    ]


def ask(service: FlaskClient, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
    answer = service.post("/invocations", data=body, headers=headers)
    return answer.status_code, answer.get_json()


def compare(service: FlaskClient, theirs: Service, body: bytes, headers: dict[str, str]) -> None:
    (status, ours), (their_status, answer) = (
        ask(service, body, headers), theirs.ask("/invocations", body, headers)
    )  # fmt: skip
    assert (status, their_status) == (200, 200), (ours, answer)
    pd.testing.assert_frame_equal(
        pd.DataFrame(ours["predictions"]), pd.DataFrame(answer["predictions"]), atol=1e-6
    )
