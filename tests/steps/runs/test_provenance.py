"""The code at work is named by its commit, and its home without passwords."""

import subprocess
from pathlib import Path

import pytest

from steps.runs import provenance


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    return subprocess.check_output(["git", "-C", folder, *who, *words], text=True).strip()


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the project be in the folder of the test."""
    monkeypatch.setattr(provenance, "ROOT", tmp_path)


def test_the_git_state_is_that_of_the_project(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "x").write_text("1")
    git(tmp_path, "add", "x")
    git(tmp_path, "commit", "-qm", "One")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert provenance.git_state() == {"commit": commit, "dirty": False}
    (tmp_path / "x").write_text("2")
    assert provenance.git_state() == {"commit": commit, "dirty": True}


@pytest.mark.parametrize("name", ["GIT_CEILING_DIRECTORIES", "PATH"])
def test_a_project_outside_of_git_and_a_machine_without_it_have_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setenv(name, str(tmp_path.parent))
    assert provenance.git_state() == {"commit": None, "dirty": True}


@pytest.mark.parametrize(("remote", "address"), [
    ("https://example.org/clinic/heart.git", "https://example.org/clinic/heart"),
    ("https://somebody:secret@example.org/clinic/heart", "https://example.org/clinic/heart"),
    ("git@example.org:clinic/heart.git", "https://example.org/clinic/heart"),
    ("ssh://git@example.org/clinic/heart.git", "https://example.org/clinic/heart"),
    ("/home/somebody/heart", None),
    ("file:///home/somebody/heart", None),
])  # fmt: skip
def test_the_repository_is_named_without_passwords_and_folders(
    tmp_path: Path, remote: str, address: str | None
) -> None:
    git(tmp_path, "init", "-q")
    assert provenance.repository() is None
    git(tmp_path, "remote", "add", "origin", remote)
    assert provenance.repository() == address
