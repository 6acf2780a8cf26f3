"""Databricks, as far as a local server can stand for a workspace: logging in, paths, stages."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.e2e.backends import Remote, an_mlflow_server
from tests.e2e.clones import Clone
from tests.e2e.registry import NAME
from tests.pages import blocks
from tests.serving.service import Service, free_port, running, wait_for

TOKEN = "not-to-be-shown"
EXPERIMENT = "/Shared/Heart Disease Prediction"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run an MLflow server that stands for a workspace; artifacts are reached without it."""
    folder = tmp_path_factory.mktemp("workspace")
    command = (
        f"mlflow server --backend-store-uri sqlite:///{folder}/mlflow.db --no-serve-artifacts "
        f"--default-artifact-root {folder}/artifacts"
    )
    with an_mlflow_server(folder, command, free_port()) as url:
        yield url


@pytest.fixture(scope="module")
def machine(workspace: str, make_clone: Callable[[], Clone]) -> Remote:
    """Return a machine on which the page was followed, with the workspace registry."""
    env = {
        "DATABRICKS_HOST": workspace,
        "DATABRICKS_TOKEN": TOKEN,
        "MLFLOW_REGISTRY_URI": "databricks",
    }
    (block,) = blocks("databricks")
    given = {
        "https://workspace.example.org": workspace,
        "DATABRICKS_TOKEN=token": f"DATABRICKS_TOKEN={TOKEN}",
        "-P name=main.default.heart-disease-model": "",
    }
    return Remote(make_clone().path, store="databricks", env=env).train(block, given, TOKEN)


@pytest.fixture
def client(workspace: str) -> MlflowClient:
    return MlflowClient(workspace, workspace)


def stages(client: MlflowClient) -> dict[str, str]:
    found = client.search_model_versions(f"name = '{NAME}'")
    return {str(version.version): version.current_stage for version in found}


def test_main_works_in_a_path_of_the_workspace(machine: Remote, client: MlflowClient) -> None:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    found = client.search_runs([experiment.experiment_id])
    assert {run.data.tags["heart.step"] for run in found} == {
        "main", "download", "preprocess", "train", "register",
    }  # fmt: skip
    assert {run.info.status for run in found} == {"FINISHED"}
    # `mlflow run` found its experiment by MLFLOW_EXPERIMENT_NAME: nothing is left in Default.
    assert not client.search_runs(["0"])
    assert stages(client) == {"1": "Production"}


def test_the_service_asks_for_what_the_stages_of_the_workspace_say(
    machine: Remote, client: MlflowClient, tmp_path: Path
) -> None:
    machine.step("train", model="logistic_regression", random_state=1).succeeded()
    machine.step("register", promote="false").succeeded()
    assert stages(client) == {"1": "Production", "2": "Staging"}

    def asked_for(service: Service, version: str) -> bool:
        # A workspace hands out a version's files by requests of its own, which stop here.
        told = f"registry-v{version} (stage Production) is not served: The files"
        return any(told in problem for problem in service.ready()[1]["problems"])

    with running(tmp_path / "home", "databricks", **machine.env) as service:
        wait_for(lambda: asked_for(service, "1"), what="version 1 to be asked for")
        # The next in the order is the latest train run, whose files every server has.
        assert service.version().startswith("run-")
        machine.step("promote", version=2).succeeded()
        assert stages(client) == {"1": "Archived", "2": "Production"}
        wait_for(lambda: asked_for(service, "2"), what="version 2 to be asked for")
        machine.step("promote", rollback="true").succeeded()
        assert stages(client) == {"1": "Production", "2": "Archived"}
        wait_for(lambda: asked_for(service, "1"), what="version 1 to be asked for again")
        assert TOKEN not in service.log.read_text()
    machine.step("promote", version=2, to="Staging").succeeded()
    assert stages(client) == {"1": "Production", "2": "Staging"}


def test_a_name_that_unity_catalog_cannot_take_is_refused_before_any_work(
    machine: Remote, client: MlflowClient
) -> None:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    before = len(client.search_runs([experiment.experiment_id]))
    env = {name: text for name, text in machine.env.items() if name != "MLFLOW_REGISTRY_URI"}
    catalog = Remote(machine.path, store="databricks", env=env)
    done = catalog.step("main", source="sample").failed(2)
    assert "is named catalog.schema.model, not heart-disease-model" in done.output
    assert len(client.search_runs([experiment.experiment_id])) == before
