"""An old ./mlruns file store: named, and moved by the two commands of docs/backends.md."""

import sys

from mlflow import MlflowClient

from tests.e2e.clones import Clone
from tests.pages import blocks

OLD = """
import mlflow
mlflow.set_experiment("Heart Disease Prediction")
with mlflow.start_run(run_name="of old") as run:
    mlflow.log_param("max_depth", 5)
    mlflow.log_metric("roc_auc", 0.9)
    mlflow.log_text("kept", "note.txt")
client = mlflow.MlflowClient()
client.create_registered_model("heart-disease-model")
client.create_model_version("heart-disease-model", run.info.artifact_uri, run.info.run_id)
"""


def test_a_file_store_is_named_and_the_two_commands_of_the_page_move_it(clone: Clone) -> None:
    clone.run(sys.executable, "-c", OLD, MLFLOW_ALLOW_FILE_STORE="true",
              MLFLOW_TRACKING_URI="./mlruns").succeeded()  # fmt: skip

    done = clone.step("download", source="sample").failed(2)

    (line,) = done.output.strip().splitlines()
    assert f"download: {clone.path}/mlruns is a file store" in line
    (block,) = blocks("file store")
    words = f"{block.strip()}\npython -m steps.download --source=sample"
    clone.run("bash", "-euc", words).succeeded()
    client = MlflowClient(clone.uri, clone.uri)
    (run,) = clone.runs("", "FINISHED")[-1:]
    assert run.info.run_name == "of old"
    assert run.data.params == {"max_depth": "5"}
    assert run.data.metrics == {"roc_auc": 0.9}
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["note.txt"]
    assert client.get_model_version("heart-disease-model", "1").run_id == run.info.run_id
    assert clone.runs("download", "FINISHED")
