"""What the service finds in Unity Catalog, through MLflow's own client of it."""

from collections.abc import Iterator
from itertools import islice

import mlflow
import pytest

from serving.following.candidates import Candidate
from serving.following.registry import MlflowRegistry
from tests.catalog import Catalog, a_catalog

NAME = "main.default.heart-disease-model"


@pytest.fixture
def catalog(monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalog]:
    """Run a catalog and make it the registry of this process; its runs are nowhere."""
    with a_catalog(NAME) as made:
        monkeypatch.setenv("DATABRICKS_HOST", made.url)
        monkeypatch.setenv("DATABRICKS_TOKEN", "token")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri("databricks")
        mlflow.set_registry_uri("databricks-uc")
        yield made
    mlflow.set_registry_uri("")
    mlflow.set_tracking_uri(before)


def found(registry: MlflowRegistry, count: int) -> list[Candidate]:
    return list(islice(registry.candidates(), count))


def test_the_alias_comes_first_then_the_latest_that_no_gate_rejected(catalog: Catalog) -> None:
    catalog.add("a" * 32, gate__verdict="passed", data__source="uci")
    catalog.add("b" * 32, gate__verdict="kept")
    catalog.add("c" * 32, gate__verdict="rejected")
    catalog.aliases["champion"] = "1"
    first, second = found(MlflowRegistry(NAME, "Heart Disease Prediction"), 2)
    assert (first.version, first.source) == ("registry-v1", "alias champion")
    latest = "latest version that no gate rejected"
    assert (second.version, second.source) == ("registry-v2", latest)
    assert first.tags == {"gate.verdict": "passed", "data.source": "uci"}
    assert first.uri == f"models:/{NAME}/1"


@pytest.mark.parametrize("uri", [f"models:/{NAME}@champion", f"models:/{NAME}/1"])
def test_a_pinned_version_of_a_three_part_name_is_found(catalog: Catalog, uri: str) -> None:
    catalog.add("a" * 32)
    catalog.aliases["champion"] = "1"
    (pinned,) = found(MlflowRegistry(NAME, "Heart Disease Prediction", uri), 1)
    assert (pinned.version, pinned.source) == ("registry-v1", f"MODEL_URI {uri}")


@pytest.mark.parametrize(("uri", "experiment", "path"), [
    ("databricks", "Heart Disease Prediction", "/Shared/Heart Disease Prediction"),
    ("databricks", "/Users/me@example.org/heart", "/Users/me@example.org/heart"),
    ("sqlite:///mlflow.db", "Heart Disease Prediction", "Heart Disease Prediction"),
])  # fmt: skip
def test_train_runs_are_looked_for_where_the_steps_put_them(
    monkeypatch: pytest.MonkeyPatch, uri: str, experiment: str, path: str
) -> None:
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: uri)
    assert MlflowRegistry(NAME, experiment)._experiment_path() == path
