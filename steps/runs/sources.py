"""Where patients' data comes from: the UCI archive, a URL, or the synthetic sample."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from threading import Thread
from typing import NoReturn
from urllib.parse import unquote, urldefrag, urlsplit

import requests
from tqdm import tqdm

from steps.runs.files import cache_dir, replacing, sha256
from steps.runs.store import StepError
from steps.runs.tracking import say

UCI_URL = "https://archive.ics.uci.edu/static/public/45/heart+disease.zip"
UCI_DIGEST = "b17cd273da9ce1caa4710fce80227ea454d4dbf9fcbc8e6a9121672751563adc"
CONNECT_SECONDS, READ_SECONDS = 3, 20
ATTEMPTS = 5
CHUNK = 1 << 13  # a cut loses the chunk that it falls in


class UnreachableError(StepError):
    """A server could not be reached, or would not give the file."""


def uci_url() -> str:
    """Return the address of the UCI archive; HEART_UCI_URL names a mirror of the same file."""
    return os.environ.get("HEART_UCI_URL", UCI_URL)


def cached(digest: str) -> Path:
    """Return where a download with this SHA-256 is, or would be, kept."""
    return cache_dir() / "downloads" / digest


def is_cached(digest: str) -> bool:
    """Tell whether a download is kept, whole and unchanged."""
    path = cached(digest)
    return path.is_file() and sha256(path) == digest


def plan(source: str) -> str:
    """Return which source ``auto`` stands for now: uci, or sample where UCI is out of reach."""
    if source != "auto":
        return source
    return "uci" if is_cached(UCI_DIGEST) or _answers(uci_url()) else "sample"


def _answers(url: str) -> bool:
    """Tell within a few seconds whether a server answers, a name server that hangs included."""
    answers: list[bool] = []

    def ask() -> None:
        try:
            requests.head(url, timeout=CONNECT_SECONDS)
            answers.append(True)
        except requests.RequestException:
            answers.append(False)

    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(CONNECT_SECONDS + 1)
    return answers == [True]


def fetch_url(url: str, target: Path) -> None:
    """Download a URL to `target`, verified where the URL or UCI states a SHA-256.

    A URL may end in ``#sha256=<hex>``, as pip's may; such a file is kept in the cache, and a
    second call makes no request.

    Raises
    ------
    UnreachableError
        Where the server does not answer, or refuses.
    StepError
        Where the digest is wrong.
    """
    address, digest = urldefrag(url).url, stated_digest(url)
    if not digest:
        _transfer(address, target)
        return
    if not is_cached(digest):
        with replacing(cached(digest)) as part:
            _transfer(address, part)
            found = sha256(part)
            if found != digest:
                raise StepError(
                    f"{address} is not the expected file: SHA-256 must be {digest}, got {found}"
                )
    with replacing(target) as part:
        part.write_bytes(cached(digest).read_bytes())


def stated_digest(url: str) -> str | None:
    """Return the SHA-256 that a URL states after ``#sha256=``, or None."""
    fragment = urldefrag(url).fragment
    return fragment.removeprefix("sha256=").lower() if fragment.startswith("sha256=") else None


def file_name(url: str) -> str:
    """Return the name of the file that a URL names, without directories."""
    name = Path(unquote(urlsplit(url).path)).name
    return "download" if name in ("", "..") else name


def _transfer(url: str, target: Path) -> None:
    """Download with retries; after a cut, go on where the transfer stopped if the server can."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _receive(url, target)
            return
        except requests.HTTPError as error:
            status = error.response.status_code
            if status < 500 and status not in (408, 429):
                raise UnreachableError(f"{url} answered {status} {error.response.reason}") from None
            reason = f"{status} {error.response.reason}"
        except requests.RequestException as error:
            reason = type(error).__name__
        if attempt < ATTEMPTS:
            say(f"download: {reason}; attempt {attempt + 1} of {ATTEMPTS}")
            time.sleep(min(0.5 * 2 ** (attempt - 1), 4))
    raise UnreachableError(f"{url} could not be downloaded in {ATTEMPTS} attempts: {reason}")


def _receive(url: str, target: Path) -> None:
    have = target.stat().st_size if target.exists() else 0
    # identity: a length and a position must mean bytes of the file itself.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    timeout = (CONNECT_SECONDS, READ_SECONDS)
    with requests.get(url, headers=headers, stream=True, timeout=timeout) as answer:
        if answer.status_code == 416 or _begins_elsewhere(answer, have):
            # What is there is longer than the file, or cannot be continued: start over.
            target.unlink()
            raise requests.ConnectionError("restart")
        answer.raise_for_status()
        have = have if answer.status_code == 206 else 0
        total = have + int(answer.headers.get("Content-Length", 0))
        with target.open("ab" if have else "wb") as file, _progress(url, have, total) as bar:
            for chunk in answer.iter_content(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    if total and target.stat().st_size < total:
        raise requests.ConnectionError("the transfer was cut")


def _begins_elsewhere(answer: requests.Response, have: int) -> bool:
    """Tell whether a partial answer is another part than the one that was asked for."""
    begins = answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
    return answer.status_code == 206 and not begins


def _progress(url: str, have: int, total: int) -> tqdm[NoReturn]:
    """Return a progress bar on a terminal; elsewhere one plain line says what is loaded."""
    on_terminal = sys.stderr.isatty()
    if not on_terminal:
        say(f"download: {url} ({total - have or 'unknown number of'} bytes)")
    return tqdm(
        desc="download", initial=have, total=total or None, unit="B", unit_scale=True,
        disable=not on_terminal,
    )  # fmt: skip
