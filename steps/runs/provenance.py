"""Which sources are at work: their commit, where they were cloned from, and a step's modules."""

import re
import subprocess
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Any

from steps.runs.files import ROOT, sha256


def git_state() -> dict[str, Any]:
    """Return the commit of the project's sources, and whether they differ from it."""
    status = _git("status", "--porcelain")
    return {"commit": _git("rev-parse", "HEAD"), "dirty": status is None or bool(status)}


def repository() -> str | None:
    """Return the web address that the project was cloned from, without a password.

    None for a clone of another folder, whose path must not be shown.
    """
    url = _git("config", "remote.origin.url") or ""
    match = re.fullmatch(r"(?:https?://|(?:ssh://)?git@)(?:[^/@]*@)?([^/:]+)[:/](.+)", url)
    return f"https://{match[1]}/{match[2].removesuffix('.git')}" if match else None


def requirements() -> str:
    """Return the content of requirements.txt."""
    return (ROOT / "requirements.txt").read_text()


def _git(*arguments: str) -> str | None:
    """Return git's output on the project, None where git fails or is not installed."""
    try:
        completed = subprocess.run(
            ["git", "-C", ROOT, *arguments], check=False, capture_output=True, text=True
        )
    except FileNotFoundError:
        return None
    return completed.stdout.strip() if completed.returncode == 0 else None


def digests_of_sources(step: str) -> dict[str, str]:
    """Return the SHA-256 of a step's modules, all that they import of ours, and templates."""
    finder = ModuleFinder([str(ROOT)])
    for module in (f"steps.{step}", f"steps.work.{step}"):
        finder.import_hook(module)
    files = [vars(loaded)["__file__"] for loaded in finder.modules.values()]
    modules = {Path(file) for file in files if file}
    others = [path for folder in {path.parent for path in modules} for path in _data_files(folder)]
    return {path.relative_to(ROOT).as_posix(): sha256(path) for path in sorted([*modules, *others])}


def _data_files(package: Path) -> list[Path]:
    """Return the files of a package that are no modules, such as templates."""
    files = []
    for path in package.iterdir():
        if path.is_file() and path.suffix != ".py":
            files.append(path)
        elif path.is_dir() and path.name != "__pycache__" and not (path / "__init__.py").exists():
            files += _data_files(path)
    return files
