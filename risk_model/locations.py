"""Paths on this machine: those that URIs of MLflow name, and where this user may keep files."""

import getpass
import os
import re
import tempfile
from pathlib import Path
from urllib.parse import urldefrag
from urllib.request import url2pathname

NAME = "heart-disease-model"

# A colon alone may be a part of a file's name.
_ELSEWHERE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def file_path(location: str) -> Path | None:
    """Return the path that a ``file:`` URI or a plain path names; None for other URIs."""
    if location.startswith("file:"):
        path = re.sub(r"^file:(//[^/]*)?", "", urldefrag(location).url)
        return Path(url2pathname(path))
    return None if _ELSEWHERE.match(location) else Path(os.path.expanduser(location))


def sqlite_path(uri: str) -> Path | None:
    """Return the file of an SQLite database; None for other stores, and for one in memory."""
    if not uri.startswith("sqlite"):
        return None
    # Takes longer to import than all of a step that refuses its parameters.
    from sqlalchemy import exc, make_url

    try:
        database = make_url(uri).database
    except exc.ArgumentError:
        return None
    return Path(database) if database and database != ":memory:" else None


def ensure_account() -> None:
    """Give a user without an account, as in many containers, a home and a name.

    MLflow cannot be imported without the one, and opens no run without the other.
    """
    if not os.environ.get("HOME"):
        os.environ.pop("HOME", None)
    try:
        Path.home()
    except RuntimeError:
        temporary_folder().mkdir(mode=0o700, exist_ok=True)
        os.environ["HOME"] = str(temporary_folder())
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = str(os.getuid())


def temporary_folder() -> Path:
    """Return the folder among the temporary files that is this user's, for want of another."""
    user = os.getuid() if hasattr(os, "getuid") else ""
    return Path(tempfile.gettempdir(), f"{NAME}-{user}")
