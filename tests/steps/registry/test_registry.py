"""Challenger, champion, archive and rollback, on a real registry."""

import json
import multiprocessing
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from steps.registry import history
from steps.registry import versions as registry
from steps.registry.versions import CHAMPION
from steps.runs.store import StepError
from tests.steps.stores import NAME, holders, locked

Make = Callable[[int], list[str]]


@pytest.fixture
def make_versions(client: MlflowClient, tmp_path: Path) -> Make:
    """Return a function that makes so many versions, each from a run of its own."""
    client.create_registered_model(NAME)

    def make(count: int) -> list[str]:
        made = []
        for _ in range(count):
            run_id = client.create_run("0").info.run_id
            version = client.create_model_version(NAME, str(tmp_path / "model"), run_id)
            made.append(str(version.version))
        return made

    return make


def stages() -> dict[str, str]:
    """Return the stage of each version."""
    return {registry.number(v): v.current_stage for v in registry.versions(NAME)}


def crown(*versions: str) -> None:
    """Make versions champion, one after the other."""
    for version in versions:
        registry.make_challenger(NAME, version)
        registry.make_champion(NAME, version, by="gate")


DEEDS: dict[str, Callable[[str], object]] = {
    "crown": crown,
    "challenge": lambda version: registry.make_challenger(NAME, version),
    "champion": lambda version: registry.make_champion(NAME, version, by="hand"),
    "archive": lambda version: registry.archive(NAME, version),
    # By MLflow's own client.
    "alias": lambda v: MlflowClient().set_registered_model_alias(NAME, CHAMPION, v),
    "stage": lambda v: MlflowClient().transition_model_version_stage(NAME, v, "Production"),
    "forget": lambda _: MlflowClient().delete_registered_model_tag(NAME, registry.HISTORY_TAG),
    "delete": lambda version: MlflowClient().delete_model_version(NAME, version),
    "align": lambda _: registry.align_stages(NAME),
    "rollback": lambda _: registry.roll_back(NAME),
}


def act(story: str) -> None:
    """Do what a story tells, such as ``crown 1, challenge 2``."""
    for deed in filter(None, story.split(", ")):
        name, _, version = deed.partition(" ")
        DEEDS[name](version)


@pytest.mark.parametrize(("story", "champion", "challenger", "staged"), [
    ("challenge 1", None, "1", "Staging None None"),
    ("crown 1", "1", None, "Production None None"),
    ("crown 1, crown 2", "2", None, "Archived Production None"),
    ("crown 1, challenge 2, challenge 3", "1", "3", "Production None Staging"),
    ("challenge 2, champion 1", "1", "2", "Production Staging None"),
    ("crown 1, crown 2, champion 2", "2", None, "Archived Production None"),
    ("crown 1, crown 2, rollback", "1", None, "Production Archived None"),
    ("crown 1, crown 2, archive 2", None, None, "Archived Archived None"),
    ("crown 1, crown 2, archive 2, rollback", "1", None, "Production Archived None"),
    ("crown 1, challenge 2, archive 2", "1", None, "Production Archived None"),
    ("archive 1, archive 2, challenge 1, champion 2", "2", "1", "Staging Production None"),
    ("crown 1, alias 2, rollback", "1", None, "Production Archived None"),
    ("crown 1, stage 2, align", "1", None, "Production None None"),
    ("crown 1, crown 2, forget, stage 1, align", "2", None, "Archived Production None"),
    ("crown 1, crown 2, delete 2", None, None, "Archived None"),
    ("challenge 1, alias 1, align", "1", "1", "Production None None"),
])  # fmt: skip
def test_aliases_and_stages_follow_what_is_done(
    make_versions: Make, story: str, champion: str | None, challenger: str | None, staged: str
) -> None:
    make_versions(3)
    act(story)
    assert holders() == (champion, challenger)
    assert [stages()[version] for version in sorted(stages())] == staged.split()


def test_the_champion_cannot_be_made_its_own_challenger(make_versions: Make) -> None:
    make_versions(1)
    with pytest.raises(StepError, match="version 1 is the champion"):
        act("crown 1, challenge 1")
    assert holders() == ("1", None)


# --- rollback --------------------------------------------------------------------------------


@pytest.mark.parametrize(("story", "back"), [
    ("", ""),
    ("crown 1", ""),
    ("crown 1, crown 2", "1"),
    ("crown 1, crown 2, champion 2", "1"),
    ("crown 1, crown 2, crown 3", "2 1"),
    ("crown 1, crown 2, rollback, crown 3", "1"),
    ("crown 1, crown 2, crown 1, crown 3", "1 2 1"),
    ("crown 1, crown 2, crown 3, delete 2", "1"),
    ("crown 1, crown 2, delete 2", "1"),
    ("crown 1, crown 2, crown 1, delete 2", ""),  # to itself
    ("crown 1, crown 2, archive 2", "1"),
    ("crown 1, alias 2", "1"),
    ("crown 1, alias 2, crown 3", "2 1"),
])  # fmt: skip
def test_rollbacks_walk_back_to_the_first_champion(
    make_versions: Make, story: str, back: str
) -> None:
    make_versions(3)
    act(story)
    reigning = [*registry.champions(NAME)[-1:], *back.split()]
    for dethroned, restored in pairwise(reigning):
        assert registry.roll_back(NAME) == (dethroned, restored)
        assert holders() == (restored, None)
    with pytest.raises(StepError, match="no earlier champion"):
        registry.roll_back(NAME)
    assert holders() == (reigning[-1] if reigning else None, None)


def test_a_rollback_says_of_both_versions_what_it_was(
    make_versions: Make, client: MlflowClient
) -> None:
    make_versions(2)
    act("crown 1, crown 2, rollback")
    with pytest.raises(StepError):  # marks nothing
        registry.roll_back(NAME)
    assert "rolled_back" in client.get_model_version(NAME, "2").tags
    restored = client.get_model_version(NAME, "1").tags
    assert "rolled_back" not in restored
    assert restored["champion.since"].endswith(", by rollback")


# --- other clients ---------------------------------------------------------------------------


def test_a_registry_that_fails_is_not_one_without_a_champion(
    make_versions: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = make_versions(1)
    monkeypatch.setattr(MlflowClient, "get_model_version_by_alias", locked)
    monkeypatch.setattr(MlflowClient, "get_model_version", locked)
    for ask, of in ((registry.holder, CHAMPION), (registry.named, one)):
        with pytest.raises(MlflowException, match="locked"):
            ask(NAME, of)


# --- archive, versions, history --------------------------------------------------------------


@pytest.mark.parametrize(("made", "deleted", "there"), [
    (11, "2", "1, 3, 4, 5, 6, 7, 8, 9, 10, 11"), (1, "1", "none"), (0, "", "none"),
])  # fmt: skip
def test_an_unknown_version_is_answered_with_those_that_exist(
    make_versions: Make, made: int, deleted: str, there: str
) -> None:
    make_versions(made)
    act(f"delete {deleted}" if deleted else "")
    with pytest.raises(StepError, match=f"{NAME} has no version 12; there are: {there}$"):
        registry.named(NAME, "12")


def test_the_version_of_a_run_is_its_first(make_versions: Make, client: MlflowClient) -> None:
    one, two = make_versions(2)
    run_id = client.get_model_version(NAME, two).run_id
    client.create_model_version(NAME, "/elsewhere", run_id)
    found = registry.version_of(NAME, run_id)
    assert found is not None
    assert registry.number(found) == two != one
    assert registry.version_of(NAME, "0" * 32) is None


def test_the_history_fits_into_a_tag_of_unity_catalog_and_keeps_the_newest() -> None:
    champions = [str(number) for number in range(100_000, 100_300)]
    kept = history.write([*champions, champions[-1]])
    assert len(kept) < 1000
    assert history.read(kept) == champions[-len(history.read(kept)) :]
    assert len(history.read(kept)) >= 100


def test_the_log_of_champions_that_earlier_releases_kept_is_read_and_replaced(
    make_versions: Make, client: MlflowClient
) -> None:
    one, two, three = make_versions(3)
    by = ((one, "gate"), (two, "hand"), (one, "rollback"), (three, "gate"))
    log = [{"version": v, "at": "2026-11-26T05:00:00+00:00", "by": how} for v, how in by]
    client.set_registered_model_tag(NAME, "champion.history", json.dumps(log))
    client.set_registered_model_alias(NAME, CHAMPION, three)
    assert registry.champions(NAME) == [one, three]
    assert registry.roll_back(NAME) == (three, one)
    assert client.get_registered_model(NAME).tags["champion.history"] == one


# --- one at a time ---------------------------------------------------------------------------


def hold_lock(
    name: str,
    held: multiprocessing.synchronize.Event,
    released: multiprocessing.synchronize.Event,
) -> None:
    with registry.locked(name):
        held.set()
        released.wait()


@pytest.mark.parametrize(("other", "waits"), [(NAME, True), ("another-model", False)])
def test_another_process_waits_for_the_lock_of_the_same_model_only(
    store: str, other: str, waits: bool
) -> None:
    fork = multiprocessing.get_context("fork")
    held, released = fork.Event(), fork.Event()
    process = fork.Process(target=hold_lock, args=(NAME, held, released))
    process.start()
    assert held.wait(60)
    if waits:
        threading.Timer(0.5, released.set).start()
    with registry.locked(other):
        assert released.is_set() == waits
    released.set()
    process.join()
