"""Promotion and rollback by hand, and registration that is asked for twice."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Clone

NAME = "moved-by-hand"
"""A registered model of its own, so that nobody else sees its versions."""


@pytest.fixture(scope="module")
def two_versions(cleveland: Clone) -> Clone:
    """Return a clone with a champion, version 1, and a challenger, version 2."""
    first = cleveland.runs("train", "FINISHED")[-1].info.run_id
    cleveland.step("register", run_id=first, name=NAME).succeeded()
    cleveland.step("train", n_estimators=20).succeeded()
    cleveland.step("register", promote="false", name=NAME).succeeded()
    return cleveland


def state(clone: Clone) -> dict[str, tuple[str, list[str]]]:
    versions = clone.client.search_model_versions(f"name = '{NAME}'")
    full = [clone.client.get_model_version(NAME, str(version.version)) for version in versions]
    return {str(v.version): (v.current_stage, sorted(v.aliases)) for v in full}


def test_versions_move_by_hand_and_back(two_versions: Clone) -> None:
    clone = two_versions
    assert state(clone) == {"1": ("Production", ["champion"]), "2": ("Staging", ["challenger"])}

    clone.launch("promote", version=2, to="Production", name=NAME).succeeded()
    assert state(clone) == {"1": ("Archived", []), "2": ("Production", ["champion"])}

    clone.launch("promote", rollback="true", name=NAME).succeeded()
    assert state(clone) == {"1": ("Production", ["champion"]), "2": ("Archived", [])}

    done = clone.step("promote", rollback="true", name=NAME).failed()
    assert "no earlier champion" in done.output
    assert state(clone) == {"1": ("Production", ["champion"]), "2": ("Archived", [])}

    clone.step("promote", version=2, to="Staging", name=NAME).succeeded()
    assert state(clone)["2"] == ("Staging", ["challenger"])


def test_registering_a_run_twice_makes_one_version(two_versions: Clone) -> None:
    before = set(state(two_versions))
    run_id = two_versions.runs("train")[-1].info.run_id
    done = two_versions.step("register", run_id=run_id, name=NAME).succeeded()
    assert "version 1" in done.output
    assert set(state(two_versions)) == before


def test_require_turns_a_verdict_into_a_failure(two_versions: Clone) -> None:
    two_versions.step("train", max_depth=1, n_estimators=1).succeeded()
    done = two_versions.step("register", promote="require", name=NAME).failed()
    assert "promote=require: version 3 is not champion: rejected" in done.output
    assert state(two_versions)["3"] == ("Staging", ["challenger"])
    assert two_versions.runs("register")[0].info.status == "FAILED"


def test_a_version_that_is_not_there_is_named_with_those_that_are(two_versions: Clone) -> None:
    done = two_versions.step("promote", version=77, name=NAME).failed(2)
    assert f"{NAME} has no version 77; there are: 1, 2" in done.output
