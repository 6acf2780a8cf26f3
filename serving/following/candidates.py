"""What could be served."""

from dataclasses import dataclass, field
from typing import Any

from serving.errors import RegistryError

REGISTERED = "registry-v"
"""How answers name a registered version, before its number."""


@dataclass(frozen=True)
class Candidate:
    """A model that could be served."""

    version: str  # in answers: registry-v3, run-<id>, ...
    source: str  # why it is a candidate: alias champion, stage Production, ...
    uri: str  # from where its files are fetched
    identity: str  # another one for a version that was deleted and made again
    tags: dict[str, str] = field(default_factory=dict)
    run_id: str = ""


class NothingThereError(RegistryError):
    """There is no registry yet: nothing has been trained."""


class ReplacedError(Exception):
    """The registry's file is another one now; open connections would go on reading the old."""


def of_version(version: Any, source: str) -> Candidate:
    """Return the candidate that a registered version is."""
    identity = f"{version.source}|{version.creation_timestamp}"
    uri = f"models:/{version.name}/{version.version}"
    label = f"{REGISTERED}{version.version}"
    return Candidate(label, source, uri, identity, tags_of(version), version.run_id or "")


def tags_of(version: Any) -> dict[str, str]:
    """Return a version's tags by their own names: Unity Catalog takes no dots."""
    return {key.replace("__", "."): value for key, value in version.tags.items()}
