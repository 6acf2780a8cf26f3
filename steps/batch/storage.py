"""Where files of patients are: on this machine, in S3, on web servers, wherever fsspec reaches."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Sequence
from functools import cache
from itertools import takewhile
from pathlib import PurePosixPath
from typing import Any

import fsspec

from clinical.errors import DataError

SUFFIXES = (".csv", ".data", ".parquet", ".pq", ".tsv", ".txt")
"""The files that are taken from a folder; a file that is named may be called anything."""

PACKED = (".bz2", ".gz", ".xz", ".zip", ".zst")
"""Files that are refused rather than left out of a folder: rows might be in them."""

SMALL = 1 << 16
"""The size up to which a file is read from its beginning: not every web server gives parts."""


def filesystem(url: str) -> Any:
    """Return the fsspec filesystem of a URL; S3 is where MLflow's artifacts would be."""
    protocol = fsspec.core.split_protocol(url)[0] or "file"
    endpoint = os.environ.get("MLFLOW_S3_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL")
    options: dict[str, Any] = {}
    if endpoint and protocol in ("s3", "s3a"):
        options = {"endpoint_url": endpoint}
    elif protocol in ("http", "https"):
        # ~/.netrc and proxies; and a length and a position must mean bytes of the file itself.
        headers = {"Accept-Encoding": "identity"}
        options = {"client_kwargs": {"trust_env": True, "headers": headers}}
    return fsspec.filesystem(protocol, **options)


def find_urls(source: str) -> list[str]:
    """Return the URLs of the files that a path, folder, glob or URL names, in order.

    Raises
    ------
    DataError
        With one line, where there is none.
    """
    fs = filesystem(source)
    fs.invalidate_cache()  # else a change since the last look would not be seen
    path = fs._strip_protocol(source)
    if fs.isdir(path):
        suffixes = (*SUFFIXES, *PACKED)
        found = [p for p in fs.find(path) if p.lower().endswith(suffixes) and _is_shown(p, path)]
        if not found:
            raise DataError(f"the folder '{source}' has no file of {', '.join(SUFFIXES)}")
    elif fs.exists(path):
        found = [path]
    else:
        found = [p for p in fs.glob(path) if fs.isfile(p)] if re.search(r"[*?\[]", path) else []
        if not found:
            raise DataError(f"there is no file '{source}'")
    return [fs.unstrip_protocol(p) for p in sorted(found)]


def _is_shown(path: str, folder: str) -> bool:
    parts = PurePosixPath(path[len(folder) :]).parts
    return not any(part.startswith((".", "_")) for part in parts)


def names_of(urls: Sequence[str]) -> list[str]:
    """Return the paths of files below the folder that they share."""
    # What follows a web address may be a signature, which is nobody's business.
    parts = [re.sub(r"^(https?://[^?#]*).*", r"\1", url).split("/") for url in urls]
    folders = zip(*(words[:-1] for words in parts), strict=False)
    shared = sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, folders))
    return ["/".join(words[shared:]) for words in parts]


def size_and_key(url: str) -> tuple[int, str]:
    """Return the size of a file in bytes, and a key that changes when the file does.

    Raises
    ------
    DataError
        Where the size is not known, or the file is packed, or can only be read as a whole.
    """
    fs = filesystem(url)
    path = fs._strip_protocol(url)
    info = fs.info(path)
    if info["size"] is None:
        raise DataError("its server does not tell its size: download it first")
    if path.lower().endswith(PACKED):
        raise DataError("it is compressed, and cannot be read in parts: unpack it first")
    if not url.startswith(("http://", "https://")):
        return int(info["size"]), str(fs.ukey(path))
    if info["size"] > SMALL and not _gives_parts(url, info["size"]):
        raise DataError("it is large, and its server gives no parts of it: download it first")
    # For fsspec, what has the same address is the same.
    version = info.get("ETag") or info.get("Last-Modified") or _this_start()
    return int(info["size"]), str(version)


def _gives_parts(url: str, size: int) -> bool:
    try:
        return len(fetch(url, size, size - 1, size)) == 1
    except ValueError:  # so fsspec says that it got something else
        return False


@cache
def _this_start() -> str:
    """Return the key of files of which nobody knows a version: a later start takes over nothing."""
    return secrets.token_hex()


def fetch(url: str, size: int, start: int, stop: int) -> bytes:
    """Return the bytes of a file from `start` to `stop`, or as many of them as there are."""
    if start == stop:
        return b""
    begin = start if size > SMALL else 0
    with filesystem(url).open(url, "rb", cache_type="none", size=size) as file:
        file.seek(begin)
        return bytes(file.read(stop - begin)[start - begin :])
