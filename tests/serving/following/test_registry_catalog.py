"""What the service finds in Unity Catalog, through MLflow's own client of it."""

from __future__ import annotations

from collections.abc import Iterator

import mlflow
import pytest

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


def found(registry: MlflowRegistry, count: int) -> list[tuple[str, str]]:
    candidates = registry.candidates()
    return [(c.version, c.source) for c, _ in zip(candidates, range(count), strict=False)]


def test_the_alias_comes_first_then_the_latest_that_no_gate_rejected(catalog: Catalog) -> None:
    catalog.add("a" * 32, gate__verdict="passed", data__source="uci")
    catalog.add("b" * 32, gate__verdict="kept")
    catalog.add("c" * 32, gate__verdict="rejected")
    catalog.aliases["champion"] = "1"
    registry = MlflowRegistry(NAME, "Heart Disease Prediction")
    latest = "latest version that no gate rejected"
    assert found(registry, 2) == [("registry-v1", "alias champion"), ("registry-v2", latest)]
    first = next(iter(registry.candidates()))
    assert first.tags == {"gate.verdict": "passed", "data.source": "uci"}
    assert first.uri == f"models:/{NAME}/1"


@pytest.mark.parametrize("uri", [f"models:/{NAME}@champion", f"models:/{NAME}/1"])
def test_a_pinned_version_of_a_three_part_name_is_found(catalog: Catalog, uri: str) -> None:
    catalog.add("a" * 32)
    catalog.aliases["champion"] = "1"
    registry = MlflowRegistry(NAME, "Heart Disease Prediction", uri)
    assert found(registry, 1) == [("registry-v1", f"MODEL_URI {uri}")]


@pytest.mark.parametrize(("experiment", "path"), [
    ("Heart Disease Prediction", "/Shared/Heart Disease Prediction"),
    ("/Users/me@example.org/heart", "/Users/me@example.org/heart"),
])  # fmt: skip
def test_train_runs_are_looked_for_where_the_steps_put_them(
    monkeypatch: pytest.MonkeyPatch, experiment: str, path: str
) -> None:
    registry = MlflowRegistry(NAME, experiment)
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: "databricks")
    assert registry._experiment_path() == path
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: "sqlite:///mlflow.db")
    assert registry._experiment_path() == experiment
