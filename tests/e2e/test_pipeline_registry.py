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
