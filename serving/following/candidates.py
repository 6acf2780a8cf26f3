"""What could be served, and where candidates come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

REGISTERED = "registry-v"
"""How answers name a registered version, before its number."""


@dataclass(frozen=True)
class Candidate:
    """A model that could be served.

    Parameters
    ----------
    version : str
        What answers will say: ``registry-v3``, ``run-<id>``, ...
    source : str
        In words why it is one: ``alias champion``, ``stage Production``, ...
    uri : str
        From where its files are fetched.
    identity : str
        Tells it from others of the same version, such as a version deleted and made again.
    tags : mapping of str to str
    run_id : str
    """

    version: str
    source: str
    uri: str
    identity: str
    tags: Mapping[str, str] = field(default_factory=dict)
    run_id: str = ""


class Registry(Protocol):
    """Where candidates come from."""

    @property
    def notes(self) -> list[str]:
        """What somebody should know though it is no fault, as of the last look."""
        ...

    def candidates(self) -> Iterator[Candidate]:
        """Yield candidates, best first.

        Raises
        ------
        RegistryError
            Where the registry does not answer.
        """
        ...

    def challenger(self) -> Candidate | None:
        """Return what the alias challenger names, None where there is no such alias.

        Raises
        ------
        RegistryError
        """
        ...

    def fetch(self, candidate: Candidate, folder: Path) -> None:
        """Put the files of a candidate into a folder.

        Raises
        ------
        RegistryError
        """
        ...

    def monitor_run(self, version: str) -> dict[str, str] | None:
        """Return the latest run of `monitor` on a version, None where there is none.

        By the names of `serving.following.monitor_run.MonitorRun`.
        """
        ...

    def fetch_file(self, run_id: str, name: str, folder: Path) -> None:
        """Put a file of a run into a folder."""
        ...

    def fetch_plots(self, run_id: str, folder: Path) -> None:
        """Put the plots of a run into a folder, as far as there are any."""
        ...


class NothingThereError(Exception):
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
