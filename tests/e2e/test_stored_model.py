"""The model that ``main`` registered in the hands of MLflow's tools, without our code on the path.

One process loads all three flavours, one makes a fresh environment, one serves: each import of
MLflow takes seconds.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import joblib
import mlflow
import numpy as np
import pandas as pd
import pytest
from flask.testing import FlaskClient

from clinical.schema import FEATURE_NAMES, FEATURES
from risk_model.model import Origin, load
from serving import create_app
from tests.conftest import need
from tests.e2e.backends import a_server
from tests.e2e.clones import QUICK_PIP, Clone
from tests.serving import forge
from tests.serving.conftest import FakeFollowing
from tests.serving.service import JSON, Service, free_port, wait_for

CSV = {"Content-Type": "text/csv"}
URI = "models:/heart-disease-model/1"


@pytest.fixture(scope="module")
def folder(cleveland: Clone) -> Path:
    """Return the folder of the model."""
    return cleveland.model_of(cleveland.runs("train")[-1])


@pytest.fixture(scope="module")
def patients() -> pd.DataFrame:
    rows = forge.patients(40, seed=31, unknown=0.3)
    return pd.DataFrame(rows, columns=list(FEATURE_NAMES))


@pytest.fixture(scope="module")
def service(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    model = load(Origin(version="registry-v1", directory=str(folder)))
    following = FakeFollowing(tmp_path_factory.mktemp("state"), model)
    return create_app({"following": following, "HEART_ACCESS_LOG": ""}).test_client()


@pytest.fixture
def elsewhere(cleveland: Clone, tmp_path: Path) -> dict[str, Any]:
    """Return where a command finds the model's store, and not this project."""
    return {"cwd": tmp_path, "MLFLOW_TRACKING_URI": cleveland.uri}


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
    cleveland: Clone, patients: pd.DataFrame, service: FlaskClient, elsewhere: dict[str, Any]
) -> None:
    source = elsewhere["cwd"] / "patients.csv"
    patients.to_csv(source, index=False)
    done = cleveland.run("python", "-c", LOADED, URI, str(source), **elsewhere).succeeded()
    found = json.loads(next(line for line in done.output.splitlines() if line.startswith("{")))
    records = with_null(patients).to_dict("records")
    served = [service.post("/predict", json=record).get_json() for record in records]
    pickled = joblib.load(cleveland.path / "models" / "model.pkl")
    expected = pickled.predict_proba(patients)[:, 1]
    for flavour in ("python_function", "sklearn", "onnx"):
        np.testing.assert_allclose(found[flavour], expected, atol=1e-5)
        answers = [answer["probability"] for answer in served]
        np.testing.assert_allclose(found[flavour], answers, atol=1e-5)
    for name in ("prediction", "risk_level"):
        assert found[name] == [answer[name] for answer in served]
    assert found["accuracy"] == pytest.approx(1 - 1 / len(served))


def test_a_fresh_environment_of_the_models_own_requirements_predicts(
    cleveland: Clone, folder: Path, patients: pd.DataFrame, elsewhere: dict[str, Any]
) -> None:
    need(shutil.which("uv", path=cleveland.environment()["PATH"]), "uv is not installed")
    # Whole numbers as whole numbers, and without the columns that may be unknown.
    optional = [feature.name for feature in FEATURES if feature.nullable]
    known = patients.drop(columns=optional).round().astype("int64")
    known.to_csv(elsewhere["cwd"] / "patients.csv", index=False)
    words = ["mlflow", "models", "predict", "-m", URI, "-i", "patients.csv", "-t", "csv"]
    words += ["-o", "answer.json", "--env-manager", "uv"]
    cleveland.run(*words, **elsewhere, **QUICK_PIP).succeeded()
    answers = json.loads((elsewhere["cwd"] / "answer.json").read_text())["predictions"]
    expected = mlflow.pyfunc.load_model(str(folder)).predict(known)
    found = pd.DataFrame(answers).astype(expected.dtypes)[list(expected.columns)]
    pd.testing.assert_frame_equal(found, expected, atol=1e-5)


def test_mlflows_server_and_ours_answer_alike(
    cleveland: Clone, patients: pd.DataFrame, service: FlaskClient, tmp_path: Path
) -> None:
    port = free_port()
    words = ["mlflow", "models", "serve", "-m", URI, "--env-manager", "local", "-p", str(port)]
    given = cleveland.environment(MLFLOW_TRACKING_URI=cleveland.uri)
    url = f"http://127.0.0.1:{port}/ping"
    with a_server([*words, "-w", "1"], tmp_path, url, **given) as peer:
        theirs = Service(peer, port, tmp_path)
        wait_for(lambda: theirs.ask("/ping")[0] == 200, what="its model")
        for body in requests(patients):
            compare(service, theirs, json.dumps(body).encode(), JSON)
        for made in (patients, patients.drop(columns=["ca", "thal"])):
            compare(service, theirs, made.to_csv(index=False).encode(), CSV)
        impossible = patients.assign(age=98765).to_csv(index=False).encode()
        for status, answer in (
            ask(service, impossible, CSV),
            theirs.ask("/invocations", impossible, CSV),
        ):
            text = json.dumps(answer)
            assert status == 400
            assert "'age' must be a number in [18, 110] years (rows 1, 2, 3, 4, 5 and 35" in text
            assert "98765" not in text


def with_null(patients: pd.DataFrame) -> pd.DataFrame:
    """Return patients with what is unknown as JSON has it."""
    return patients.astype(object).where(patients.notna(), None)


def requests(patients: pd.DataFrame) -> list[dict[str, Any]]:
    """Return patients in each of the protocol's formats, with unknown findings as null."""
    listed = with_null(patients)
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
