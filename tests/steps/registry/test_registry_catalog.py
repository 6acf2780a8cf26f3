"""Champion and challenger in Unity Catalog, through MLflow's own client of it."""

from collections.abc import Iterator
from functools import partial

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
CROWN = partial(registry.make_champion, by="hand")


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
    CROWN(NAME, two)
    assert holders(NAME) == (two, None)
    assert registry.champions(NAME) == [one, two]
    assert registry.roll_back(NAME) == (two, one)
    assert holders(NAME) == (one, None)
    assert set(catalog.versions[two]["tags"]) == {"champion__since", "rolled_back"}
    assert catalog.tags == {"champion__history": one}


def test_an_archived_version_loses_its_alias_and_may_come_back(catalog: Catalog) -> None:
    one = catalog.add("a" * 32)
    registry.make_champion(NAME, one, by="hand")
    for again, held in ((registry.make_challenger, (None, one)), (CROWN, (one, None))):
        registry.archive(NAME, one)
        assert holders(NAME) == (None, None)
        assert "archived" in catalog.versions[one]["tags"]
        again(NAME, one)
        assert holders(NAME) == held
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


def test_a_name_has_three_parts_in_the_catalog_and_any_elsewhere(
    catalog: Catalog, store: str
) -> None:
    registry.check_name(NAME)
    for name in ("heart-disease-model", "default.heart-disease-model", "a..b"):
        with pytest.raises(StepError, match=r"catalog\.schema\.model.* -P name=main\.default\."):
            registry.check_name(name)
    mlflow.set_registry_uri(store)
    registry.check_name("heart-disease-model")
