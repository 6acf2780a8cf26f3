"""The paths on this machine that URIs of MLflow name: of files, and of SQLite databases."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urldefrag
from urllib.request import url2pathname

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
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        database = make_url(uri).database
    except ArgumentError:
        return None
    return Path(database) if database and database != ":memory:" else None
