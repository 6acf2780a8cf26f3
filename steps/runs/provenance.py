"""Which sources are at work: their commit, where they were cloned from, and a step's modules."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path
from typing import Any

from steps.runs.files import ROOT, sha256

PACKAGES = ("clinical", "risk_model", "steps")


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


def digests_of_sources(module: str) -> dict[str, str]:
    """Return the SHA-256 of a module of the steps, all that it imports of ours, and templates."""
    paths = sorted(_sources(ROOT / "steps" / f"{module}.py"))
    return {path.relative_to(ROOT).as_posix(): sha256(path) for path in paths}


def _sources(module: Path, seen: frozenset[Path] = frozenset()) -> frozenset[Path]:
    """Return the project's files that a module is made of: itself, and what it imports of ours."""
    if module in seen:
        return seen
    seen |= {module, *_data_files(module.parent)}
    for imported in _imports(module):
        seen = _sources(imported, seen)
    return seen


def _data_files(package: Path) -> list[Path]:
    """Return the files of a package that are no modules, such as templates."""
    found = []
    for path in package.iterdir():
        if path.is_file() and path.suffix != ".py":
            found.append(path)
        elif path.is_dir() and path.name != "__pycache__" and not (path / "__init__.py").exists():
            found += _data_files(path)
    return found


def _imports(module: Path) -> list[Path]:
    """Return the modules of ours that a module imports anywhere, and the packages around them."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    ours = [name.split(".") for name in names if name.split(".")[0] in PACKAGES]
    # To import a.b.c is to run a and a.b as well.
    paths = {ROOT.joinpath(*parts[:n]) for parts in ours for n in range(1, len(parts) + 1)}
    files = [file for path in paths for file in (path.with_suffix(".py"), path / "__init__.py")]
    return [file for file in files if file.is_file()]
