"""The challenger: published by the follower, loaded by a worker, in nobody's way."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from risk_model.model import Origin
from serving.following.cache import Cache
from serving.following.candidates import Candidate
from serving.following.challenger import NONE, ChallengerFollower, ShadowModel
from serving.following.probe import check_model
from serving.following.state import State
from tests.serving.following.test_follower import FakeRegistry


class Registry(FakeRegistry):
    """A registry whose alias challenger names the first candidate, if any, of some files."""

    files: Path

    def challenger(self) -> Candidate | None:
        return next(self.candidates(), None)

    def fetch(self, _candidate: Candidate, folder: Path) -> None:
        shutil.copytree(self.files, folder, dirs_exist_ok=True)


class Bench:
    """Both sides of the shadow."""

    def __init__(self, home: Path, files: Path, check: Callable[[Origin], None]) -> None:
        self.registry = Registry()
        self.registry.files = files
        state = State(home / "state").make()
        cache = Cache("registry", folder=home / "cache")
        self.follower = ChallengerFollower(self.registry, cache, state, check)  # type: ignore[arg-type]
        self.worker = ShadowModel(state.challenger)

    def look(self) -> str | None:
        """Let both look once; return the version in shadow."""
        self.follower.look()
        self.worker.check()
        return self.worker.model.origin.version if self.worker.model else None


@pytest.fixture
def bench(tmp_path: Path, model_folder: Path) -> Bench:
    return Bench(tmp_path, model_folder, partial(check_model, seconds=60))


V4 = Candidate("registry-v4", "alias challenger", "models:/m/4", "4")


def test_the_alias_is_followed_and_an_outage_changes_nothing(bench: Bench) -> None:
    assert bench.look() is None
    assert bench.worker.notes == [NONE]
    bench.registry.named = [V4]
    assert bench.look() == "registry-v4"
    assert bench.worker.notes == []
    bench.registry.down = True
    assert bench.look() == "registry-v4"
    bench.registry.down, bench.registry.named = False, []
    assert bench.look() is None
    assert bench.worker.notes == [NONE]


def test_a_model_that_needs_scikit_learn_is_not_in_shadow(
    tmp_path: Path, model_folder: Path
) -> None:
    without = tmp_path / "without"
    shutil.copytree(model_folder, without)
    (without / "extra_files" / "references.json").unlink()
    bench = Bench(tmp_path, without, lambda _: None)
    bench.registry.named = [V4]
    assert bench.look() is None
    assert "ONNX" in bench.worker.notes[0]


def test_files_that_are_gone_are_fetched_again(bench: Bench, tmp_path: Path) -> None:
    bench.registry.named = [V4]
    bench.look()
    for entry in (tmp_path / "cache").glob("*-registry-v4-*"):
        shutil.rmtree(entry)
    bench.look()
    assert list((tmp_path / "cache").glob("*-registry-v4-*"))
