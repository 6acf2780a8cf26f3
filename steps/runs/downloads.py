"""Downloads: of a limited size, verified and kept where the URL states a digest."""

import hashlib
import ipaddress
import socket
import time
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import requests
from urllib3.exceptions import HTTPError

from steps.runs.files import cache_dir, replacing
from steps.runs.store import StepError
from steps.runs.terminal import echo

CURE = "give the file itself, source=<its path>"


class Limits(NamedTuple):
    """How long a download is waited for (seconds), how often it is tried, how large it may be."""

    connect: float = 3
    read: float = 20
    attempt: float = 300
    attempts: int = 5
    pause: float = 0.5  # after the first attempt; twice as long after each further one
    size: int = 100_000_000  # bytes


LIMITS = Limits()


class UnreachableError(StepError):
    """A server could not be reached, or would not give the file."""


def read_url(url: str, limits: Limits = LIMITS) -> bytes:
    """Return the content of a URL, verified where it ends in ``#sha256=<hex>``, as pip's may.

    Such a file is kept in the cache, and a second call makes no request. Raises an
    `UnreachableError` where the server does not answer, or refuses; a `StepError` where the digest
    is wrong, or the file too large.
    """
    address, digest = urldefrag(url).url, stated_digest(url)
    if not digest:
        return _download(address, limits)
    if (content := read_cached(digest)) is not None:
        return content
    content = _download(address, limits)
    actual = hashlib.sha256(content).hexdigest()
    if actual != digest:
        raise StepError(
            f"{address} is not the expected file: SHA-256 must be {digest}, got {actual}"
        )
    try:
        with replacing(_cache_path(digest)) as part:
            part.write_bytes(content)
    except OSError as error:
        echo(f"download: not kept for the next time: {error.strerror}: {error.filename}")
    return content


def _cache_path(digest: str) -> Path:
    return cache_dir() / "downloads" / digest


def read_cached(digest: str) -> bytes | None:
    """Return a download that is kept, whole and unchanged."""
    try:
        content = _cache_path(digest).read_bytes()
    except OSError:
        return None
    return content if hashlib.sha256(content).hexdigest() == digest else None


def stated_digest(url: str) -> str | None:
    """Return the SHA-256 that a URL states after ``#sha256=``, or None."""
    fragment = urldefrag(url).fragment
    return fragment.removeprefix("sha256=").lower() if fragment.startswith("sha256=") else None


def file_name(url: str) -> str:
    """Return the name of the file that a URL names, without directories."""
    name = Path(unquote(urlsplit(url).path)).name
    return "download" if name in ("", "..") else name


def _download(url: str, limits: Limits) -> bytes:
    """Return the content of a URL, tried again where the fault may pass."""
    echo(f"download: {url}")
    reason = ""
    for attempt in range(limits.attempts):
        if attempt:
            echo(f"download: {reason}; attempt {attempt + 1} of {limits.attempts}")
            time.sleep(limits.pause * 2 ** (attempt - 1))
        try:
            return _receive(url, limits)
        except requests.HTTPError as error:
            status = error.response.status_code
            reason = f"{status} {error.response.reason}"
            if status < 500 and status not in (408, 429):
                raise UnreachableError(f"{url} answered {reason}") from None
        except (requests.RequestException, HTTPError) as error:
            reason = type(error).__name__
    raise UnreachableError(f"{url} could not be downloaded in {limits.attempts} attempts: {reason}")


def _receive(url: str, limits: Limits) -> bytes:
    content, end = bytearray(), time.monotonic() + limits.attempt
    with requests.get(
        url,
        stream=True,
        timeout=(limits.connect, limits.read),
        headers={"Accept-Encoding": "identity"},  # a digest is that of the file itself
        hooks={"response": _refuse_redirect_inwards},
    ) as answer:
        answer.raise_for_status()
        # What has arrived, however little: a server that trickles runs into the limit as well.
        while chunk := answer.raw.read1(1 << 16, decode_content=True):
            content += chunk
            if len(content) > limits.size:
                raise StepError(f"{url} gives more than {limits.size / 1e6:,.0f} MB; {CURE}")
            if time.monotonic() > end:
                raise requests.Timeout
    return bytes(content)


def _refuse_redirect_inwards(answer: requests.Response, **_: Any) -> None:
    """Let no server outside lead to one of this machine or its network."""
    if not answer.is_redirect:
        return
    try:
        target = urljoin(answer.url, answer.headers["Location"])
        leads_inwards = _is_public(answer.url) and not _is_public(target)
    except ValueError:
        answer.close()
        raise requests.exceptions.InvalidURL from None
    if leads_inwards:
        answer.close()
        raise UnreachableError(f"{answer.url} redirects to an address inside: {target}; {CURE}")


def _is_public(url: str) -> bool:
    """Return whether a host is outside of this machine and its network."""
    try:
        addresses = socket.getaddrinfo(urlsplit(url).hostname, None)
    except OSError:  # a proxy may know it
        return True
    return all(ipaddress.ip_address(address[4][0]).is_global for address in addresses)
