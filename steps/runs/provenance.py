"""Which sources of this project are at work: commit, changes, and where they were cloned from."""

from __future__ import annotations

import re
import subprocess
from typing import Any

from steps.runs.files import ROOT


def git_state() -> dict[str, Any]:
    """Return the commit of the project's sources, and whether they differ from it."""
    status = _git("status", "--porcelain")
    return {"commit": _git("rev-parse", "HEAD"), "dirty": status is None or bool(status)}


def repository() -> str | None:
    """Return the web address that the project was cloned from, without a password.

    None for a clone of another folder: where that lies is nobody's business.
    """
    url = _git("config", "remote.origin.url") or ""
    found = re.fullmatch(r"(?:https?://|(?:ssh://)?git@)(?:[^/@]*@)?([^/:]+)[:/](.+)", url)
    return f"https://{found[1]}/{found[2].removesuffix('.git')}" if found else None


def requirements() -> str:
    """Return the content of requirements.txt."""
    return (ROOT / "requirements.txt").read_text()


def _git(*words: str) -> str | None:
    """Return what git says of the project, None where it says nothing or is not there."""
    try:
        done = subprocess.run(
            ["git", "-C", ROOT, *words], check=False, capture_output=True, text=True
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
