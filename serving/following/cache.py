"""The disk cache of models, by version, with digests.

``$XDG_CACHE_HOME/heart-disease-model/models/<key>/`` holds a model's files and ``entry.json``: what
it is and the SHA-256 of each file.
"""

import contextlib
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, replace
from pathlib import Path

from risk_model.model import Origin
from serving.following.ownership import private_folder
from serving.following.state import read_json, write_json

ENTRY = "entry.json"
PLOTS = "plots"
GATE_RUN = "gate.run"
"""The tag of a version that names the run with the gate's decision on it."""


def decision_path(origin: Origin) -> Path | None:
    """Return where the gate's decision on a model is kept; None where its tags name no run."""
    run_id = origin.tags.get(GATE_RUN, "")
    named = re.fullmatch("[0-9a-f]{32}", run_id)
    return Path(origin.directory, f"gate-{run_id}", "gate_decision.json") if named else None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder that takes the place of another one at the end, unless something fails."""
    work = folder.with_name(f".new-{secrets.token_hex(8)}")
    work.mkdir()
    try:
        yield work
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(work, folder)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


class Cache:
    """The models that this host has served.

    The namespace names the registry and the model in it: versions of another one are not taken for
    its own. So many entries stay as `keep` says. The folder is by default one in the user's cache.
    """

    def __init__(self, namespace: str, keep: int = 5, folder: Path | None = None) -> None:
        self.namespace = hashlib.sha256(namespace.encode()).hexdigest()[:10]
        self._keep = keep
        self.folder = private_folder("models", folder)
        self._last = self.folder / f"last-{self.namespace}.json"

    def key(self, version: str, identity: str) -> str:
        """Return the name of an entry: the version, and a digest that makes it unique."""
        tail = hashlib.sha256(identity.encode()).hexdigest()[:10]
        return f"{self.namespace}-{version}-{tail}"

    def find(self, key: str) -> Path | None:
        """Return the files of an entry whose digests are right; a damaged entry is removed."""
        folder = self.folder / key
        if not folder.is_dir():
            return None
        recorded = read_json(folder / ENTRY).get("digests")
        with contextlib.suppress(OSError):  # a file is gone or unreadable: damaged too
            if recorded and all(_digest(folder / name) == was for name, was in recorded.items()):
                return folder
        shutil.rmtree(folder, ignore_errors=True)
        return None

    def provide(self, origin: Origin, fetch: Callable[[Path], object]) -> Origin:
        """Return an origin with its files, which `fetch` puts into a folder."""
        folder = self.folder / origin.key
        if self.find(origin.key) is None:
            with new_folder(folder) as work:
                fetch(work)
                files = [path for path in work.rglob("*") if path.is_file()]
                digests = {path.relative_to(work).as_posix(): _digest(path) for path in files}
                write_json(work / ENTRY, {"origin": asdict(origin), "digests": digests})
        return replace(origin, directory=str(folder))

    def remove(self, key: str) -> None:
        """Remove an entry."""
        shutil.rmtree(self.folder / key, ignore_errors=True)

    def remember(self, origin: Origin, served: Collection[str]) -> None:
        """Note what is served, for a start without a registry; let old entries go.

        The one before this stays, as do those whose keys are in `served`, by other services.
        """
        stay = {origin.key, str(read_json(self._last).get("key")), *served}
        write_json(self._last, asdict(origin))
        entries = [path for path in self.folder.glob(f"{self.namespace}-*") if path.is_dir()]
        entries.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in entries[self._keep :]:
            if path.name not in stay:
                shutil.rmtree(path, ignore_errors=True)

    def last_served(self) -> Origin | None:
        """Return what this host served last, where its files are still right."""
        try:
            origin = Origin(**read_json(self._last))
        except TypeError:
            return None
        folder = self.find(origin.key) if origin.key else None
        return replace(origin, directory=str(folder)) if folder else None
