"""The model behind the Open Inference Protocol, as docs/open-inference.md says."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import requests

from clinical.schema import FEATURES
from tests.conftest import ROOT
from tests.e2e.backends import a_server
from tests.e2e.clones import QUICK_PIP, Clone
from tests.pages import blocks
from tests.serving.service import environment, free_port

TYPES = {"tensor(float)": "TYPE_FP32", "tensor(int64)": "TYPE_INT64"}
PREDICT = """
import json, mlflow, pandas as pd, sys
model = mlflow.pyfunc.load_model("models:/heart-disease-model@champion")
print(json.dumps(model.predict(pd.read_json(sys.argv[1], orient="records")).to_dict("list")))
"""


@pytest.fixture(scope="module")
def folder(cleveland: Clone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which the page was followed up to the model's settings."""
    made = tmp_path_factory.mktemp("mlserver")
    (fetch,), (settings,) = blocks("mlserver model"), blocks("mlserver settings")
    cleveland.run("python", "-c", fetch, cwd=made, MLFLOW_TRACKING_URI=cleveland.uri).succeeded()
    (made / "heart" / "model-settings.json").write_text(settings)
    return made


@pytest.fixture(scope="module")
def mlserver(folder: Path) -> Iterator[str]:
    """Run MLServer as the page does; yield the URL of the model."""
    (install,), (start,) = blocks("mlserver install"), blocks("mlserver start")
    # pip must not look into the environment of the tests.
    given = environment(folder, PYTHONPATH="", **QUICK_PIP)
    words = ["env", "-u", "VIRTUAL_ENV", "bash", "-euc", install]
    subprocess.run(words, cwd=folder, env=given, check=True, timeout=1800, capture_output=True)
    ports = {f"MLSERVER_{kind}_PORT": str(free_port()) for kind in ("HTTP", "GRPC", "METRICS")}
    url = f"http://127.0.0.1:{ports['MLSERVER_HTTP_PORT']}/v2/models/heart"
    # `exec`: what is ended at the end must be the server, not the shell around it.
    assignments, _, command = start.partition("mlserver-env")
    words = ["bash", "-euc", f"{assignments} exec mlserver-env{command}"]
    with a_server(words, folder, f"{url}/ready", **ports):
        yield url


def asked(url: str, datatype: str, patients: list[dict[str, Any]]) -> requests.Response:
    inputs = [
        {"name": name, "shape": [len(patients), 1], "datatype": datatype,
         "data": [patient[name] for patient in patients]}
        for name in patients[0]
    ]  # fmt: skip
    return requests.post(f"{url}/infer", json={"inputs": inputs}, timeout=60)


def outputs(answer: requests.Response) -> dict[str, list[Any]]:
    assert answer.status_code == 200, answer.text
    return {output["name"]: output["data"] for output in answer.json()["outputs"]}


@pytest.mark.slow
@pytest.mark.parametrize("datatype", ["FP64", "INT64"])
def test_mlserver_answers_as_mlflow_does(mlserver: str, cleveland: Clone, datatype: str) -> None:
    patient = {feature.name: int(feature.example) for feature in FEATURES}
    patients = [patient, {**patient, "exang": 1, "cp": 3}]
    path = cleveland.path / f"patients-{datatype}.json"
    path.write_text(json.dumps(patients))
    expected = json.loads(
        cleveland.run("python", "-c", PREDICT, str(path)).succeeded().output.splitlines()[-1]
    )
    found = outputs(asked(mlserver, datatype, patients))
    assert found["probability"] == pytest.approx(expected.pop("probability"), abs=1e-5)
    assert {name: found[name] for name in expected} == expected


@pytest.mark.slow
def test_the_request_of_the_page_is_answered_also_without_what_may_be_unknown(
    mlserver: str,
) -> None:
    (text,) = blocks("mlserver request")
    request = json.loads(text)
    assert len(outputs(requests.post(f"{mlserver}/infer", json=request, timeout=60))) == 3
    request["inputs"] = [each for each in request["inputs"] if each["name"] != "ca"]
    found = outputs(requests.post(f"{mlserver}/infer", json=request, timeout=60))
    assert 0 <= found["probability"][0] <= 1


def test_tritons_configuration_is_that_of_the_onnx_model(folder: Path) -> None:
    text = (ROOT / "deploy" / "triton" / "heart" / "config.pbtxt").read_text()
    pattern = r'name: "(\w+)" data_type: (\w+) dims: \[ ([-\d, ]+) \]'
    declared = {
        name: (kind, [int(size) for size in sizes.split(",")])
        for name, kind, sizes in re.findall(pattern, text)
    }
    session = onnxruntime.InferenceSession(folder / "heart" / "model" / "model.onnx")
    for each in (*session.get_inputs(), *session.get_outputs()):
        shape = [-1 if isinstance(size, str) else size for size in each.shape]
        assert declared.pop(each.name) == (TYPES[each.type], shape)
    assert declared == {}
