"""Champion and challenger in Unity Catalog, through MLflow's own client of it."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import mlflow
import pytest

from steps.registry import gate
from steps.registry import versions as registry
from steps.registry.rules import Rule
from steps.registry.versions import CHALLENGER, CHAMPION
from steps.runs.store import StepError
from steps.work import register
from tests.catalog import Catalog, a_catalog

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


def holders() -> tuple[str | None, str | None]:
    champion, challenger = (registry.holder(NAME, alias) for alias in (CHAMPION, CHALLENGER))
    return champion and registry.number(champion), challenger and registry.number(challenger)


def test_versions_move_and_roll_back_by_aliases_alone(catalog: Catalog) -> None:
    one, two = catalog.add("a" * 32), catalog.add("b" * 32)
    registry.make_challenger(NAME, one)
    assert holders() == (None, one)
    registry.make_champion(NAME, one, by="gate")
    registry.make_champion(NAME, two, by="hand")
    assert holders() == (two, None)
    assert [entry["version"] for entry in registry.read_history(NAME)] == [one, two]
    assert registry.roll_back(NAME) == (two, one)
    assert holders() == (one, None)
    assert catalog.versions[two]["tags"] == {"rolled_back": "true"}


def test_an_archived_version_loses_its_alias_and_may_come_back(catalog: Catalog) -> None:
    one = catalog.add("a" * 32)
    registry.make_champion(NAME, one, by="hand")
    registry.archive(NAME, one)
    assert holders() == (None, None)
    assert catalog.versions[one]["tags"] == {"archived": "true"}
    registry.make_challenger(NAME, one)
    assert holders() == (None, one)
    assert catalog.versions[one]["tags"] == {}


def test_a_version_is_found_by_its_run_with_its_tags(catalog: Catalog) -> None:
    catalog.add("a" * 32)
    two = catalog.add("b" * 32, gate__verdict="passed")
    found = registry.version_of(NAME, "b" * 32)
    assert found is not None
    assert registry.number(found) == two
    assert registry.tags_of(found) == {"gate.verdict": "passed"}
    assert registry.version_of(NAME, "c" * 32) is None


def test_the_history_is_as_long_as_a_tag_can_be(catalog: Catalog) -> None:
    versions = [catalog.add(f"{number:032x}") for number in range(2)]
    for turn in range(20):
        registry.make_champion(NAME, versions[turn % 2], by="hand")
    kept = registry.read_history(NAME)
    assert 10 <= len(kept) < 20
    assert kept[-1]["version"] == versions[1]
    assert registry.roll_back(NAME) == (versions[1], versions[0])


def test_a_decision_that_is_too_long_for_a_tag_is_made_again(catalog: Catalog) -> None:
    one = catalog.add("a" * 32, data__source="uci")
    rule = Rule("x" * 2000, 0.9, None, True)
    decision = gate.Decision("passed", "no champion yet", "", [rule])
    logged: list[object] = []
    run = SimpleNamespace(log_file=logged.append)
    register._record(run, NAME, registry.named(NAME, one), decision)  # type: ignore[arg-type]
    assert catalog.versions[one]["tags"] == {
        "data__source": "uci",
        "gate__verdict": "passed",
        "gate__reason": "no champion yet",
        "gate__against": "",
    }
    assert len(logged) == 1
    trained = SimpleNamespace(
        data=SimpleNamespace(metrics={}), info=SimpleNamespace(run_id="a" * 32), outputs=None
    )
    # It is not read from a tag, but judged anew, which asks for the model.
    with pytest.raises(StepError, match="has no model"):
        register.decide(NAME, registry.named(NAME, one), trained, None)  # type: ignore[arg-type]


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
