"""Optional API keys: a Bearer token, compared in constant time."""

import hashlib
import hmac
import ipaddress
from collections.abc import Sequence
from typing import Any

from serving.errors import Problem
from serving.http.log import log_event


class Keys:
    """The keys that open the service; none: it is open."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    def __bool__(self) -> bool:
        """Return whether a key is needed."""
        return bool(self._digests)

    def accepts(self, key: str) -> bool:
        """Return whether a key is valid. All keys are compared, so the time gives nothing away."""
        given = _digest(key)
        return sum(hmac.compare_digest(given, digest) for digest in self._digests) > 0

    def lets_in(self, environ: dict[str, Any]) -> bool:
        """Tell whether a request carries a key that opens the service, where one is needed."""
        try:
            self.require(environ)
        except Problem:
            return False
        return True

    def require(self, environ: dict[str, Any]) -> None:
        """Raise Problem for a request without a key (401), or with a wrong one (403)."""
        if not self._digests:
            return
        scheme, _, key = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Problem(
                401, "An API key is needed as Bearer token.", headers={"WWW-Authenticate": "Bearer"}
            )
        if not self.accepts(key.strip()):
            raise Problem(403, "This API key is not valid.")


def _digest(key: str) -> bytes:
    # Not "replace": no other key may become the same bytes.
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def warn_if_open(addresses: Sequence[str], keys: Sequence[str]) -> None:
    """Say loudly that predictions are open to others, where they are."""
    outside = [address for address in addresses if not _is_loopback(address)]
    if outside and not keys:
        log_event(
            "open.to.the.network",
            "warning",
            addresses=outside,
            what="Anybody who reaches this address gets predictions: set HEART_API_KEYS.",
        )


def _is_loopback(address: str) -> bool:
    if address in ("localhost", "") or address.startswith("/"):
        return True  # "" and a path are sockets of this machine
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
