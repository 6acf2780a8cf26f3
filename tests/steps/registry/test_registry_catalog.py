"""Champion and challenger in Unity Catalog, through MLflow's own client of it."""

from __future__ import annotations

from collections.abc import Iterator

import mlflow
import pytest
from mlflow import MlflowClient

from steps.parameters.declaration import check
from steps.parameters.entry_points import Register
from steps.registry import decisions
from steps.registry import versions as registry
from steps.registry.gate import Decision
from steps.registry.rules import Rule
from steps.runs.store import StepError
from steps.runs.tracking.opening import open_run
from tests.catalog import Catalog, a_catalog
from tests.steps.stores import holders

NAME = "main.default.heart-disease-model"


@pytest.fixture
def catalog(monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalog]:
    """Run a catalog and make it the registry of this process."""
    with a_catalog(NAME) as made:
        monkeypatch.setenv("DATABRICKS_HOST", made.url)
        monkeypatch.setenv("DATABRICKS_TOKEN", "token")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        mlflow.set_registry_uri("databricks-uc")
        yield made
    mlflow.set_registry_uri("")


def test_versions_move_and_roll_back_by_aliases_alone(catalog: Catalog) -> None:
    one, two = catalog.add("a" * 32), catalog.add("b" * 32)
    registry.make_challenger(NAME, one)
    assert holders(NAME) == (None, one)
    registry.make_champion(NAME, one, by="gate")
    registry.make_champion(NAME, two, by="hand")
    assert holders(NAME) == (two, None)
    assert registry.champions(NAME) == [one, two]
    assert registry.roll_back(NAME) == (two, one)
    assert holders(NAME) == (one, None)
    assert set(catalog.versions[two]["tags"]) == {"champion__since", "rolled_back"}
    assert catalog.tags == {"champion__history": one}


def test_an_archived_version_loses_its_alias_and_may_come_back(catalog: Catalog) -> None:
    one = catalog.add("a" * 32)
    registry.make_champion(NAME, one, by="hand")
    registry.archive(NAME, one)
    assert holders(NAME) == (None, None)
    assert "archived" in catalog.versions[one]["tags"]
    registry.make_challenger(NAME, one)
    assert holders(NAME) == (None, one)
    assert "archived" not in catalog.versions[one]["tags"]
    registry.archive(NAME, one)
    registry.make_champion(NAME, one, by="hand")
    assert holders(NAME) == (one, None)
    assert "archived" not in catalog.versions[one]["tags"]


def test_a_version_is_found_by_its_run_with_its_tags(catalog: Catalog) -> None:
    catalog.add("a" * 32)
    two = catalog.add("b" * 32, gate__verdict="passed")
    found = registry.version_of(NAME, "b" * 32)
    assert found is not None
    assert registry.number(found) == two
    assert registry.tags_of(found) == {"gate.verdict": "passed"}
    assert registry.version_of(NAME, "c" * 32) is None


def test_the_tags_of_a_decision_are_as_short_as_the_catalog_wants_them(
    catalog: Catalog, client: MlflowClient, experiment_id: str
) -> None:
    one = catalog.add("a" * 32, data__source="uci", gate__against="7")
    rule = Rule("x" * 2000, 0.9, None, passed=False)
    decision = Decision("rejected", "too long " * 200, "", [rule])
    with open_run(check(Register, {}), None, experiment_id) as run:
        decisions.keep(run, NAME, one, decision)
    tags = catalog.versions[one]["tags"]
    assert len(tags.pop("gate__reason")) < 1000
    expected = {"gate__verdict": "rejected", "gate__run": run.run_id}  # no champion, no tag
    assert tags == {"data__source": "uci", **expected}
    assert decisions.read(registry.named(NAME, one)) == decision


@pytest.mark.parametrize("name", ["heart-disease-model", "default.heart-disease-model", "a..b"])
def test_a_name_without_three_parts_is_refused(catalog: Catalog, name: str) -> None:
    with pytest.raises(StepError, match=r"catalog\.schema\.model") as caught:
        registry.check_name(name)
    assert "-P name=main.default." in str(caught.value)


def test_any_name_will_do_elsewhere_and_a_full_one_in_the_catalog(
    catalog: Catalog, store: str
) -> None:
    registry.check_name(NAME)
    mlflow.set_registry_uri(store)
    registry.check_name("heart-disease-model")
