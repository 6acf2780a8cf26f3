"""The challenger in shadow: the follower publishes it, and each worker loads it.

Any failure here is reported in a note, and does not affect the served model.
"""

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from risk_model.errors import ModelError
from risk_model.layout import open_folder
from risk_model.model import Model, Origin, load
from serving.errors import RegistryError
from serving.following.cache import Cache
from serving.following.candidates import Candidate
from serving.following.registry import MlflowRegistry
from serving.following.state import State, read_json, stamp, write_json
from serving.http.gevent_support import in_thread
from serving.http.log import log_event

RETRY_SECONDS = 60.0
NONE = "HEART_SHADOW is set, and no version of the registry has the alias challenger."


class ChallengerFollower:
    """The follower's side: publishes the version that the alias challenger names."""

    def __init__(
        self, registry: MlflowRegistry, cache: Cache, state: State, check: Callable[[Origin], None]
    ) -> None:
        self._registry = registry
        self._cache = cache
        self._state = state
        self._check = check
        self._bad = ""
        self._retry_at = 0.0

    def look(self) -> None:
        """Look at the registry once, and publish the challenger, or the reason for having none."""
        try:
            candidate = self._registry.challenger()
        except RegistryError:
            return  # The follower's own look reports that; the model in shadow stays.
        if candidate is None:
            self._publish(None, NONE)
            return
        key = self._cache.key(candidate.version, candidate.identity)
        current = read_json(self._state.challenger).get("origin") or {}
        is_there = current.get("key") == key and Path(current["directory"]).is_dir()
        if is_there or (key == self._bad and time.monotonic() < self._retry_at):
            return
        started = time.monotonic()
        try:
            self._publish(self._fetch(key, candidate), "")
        except (ModelError, RegistryError) as error:
            # One that takes its time to fail may not keep the follower from its work.
            pause = max(RETRY_SECONDS, 10 * (time.monotonic() - started))
            self._bad, self._retry_at = key, time.monotonic() + pause
            self._publish(None, f"{candidate.version} is not in shadow: {error}")

    def _fetch(self, key: str, candidate: Candidate) -> Origin:
        origin = self._cache.provide(
            Origin(key, candidate.version, candidate.source, run_id=candidate.run_id),
            lambda folder: self._registry.fetch(candidate, folder),
        )
        self._check(origin)
        if open_folder(Path(origin.directory)).onnx is None:
            # Such a model would hold the interpreter for milliseconds, and requests with it.
            raise ModelError("it has no ONNX model, and would be in the way of requests.")
        return origin

    def _publish(self, origin: Origin | None, note: str) -> None:
        content = {"origin": asdict(origin) if origin else None, "note": note}
        if content != read_json(self._state.challenger):
            write_json(self._state.challenger, content)
            version = origin.version if origin else None
            log_event("challenger.published", challenger_version=version, note=note or None)


class ShadowModel:
    """A worker's side: the model that is published for the shadow."""

    def __init__(self, published: Path) -> None:
        self.model: Model | None = None
        self.notes: list[str] = []
        """The reason for having no challenger, where one is expected."""
        self._path = published
        self._stamp: tuple[int, int] | None = None

    def check(self) -> None:
        """Take up what is published, where that has changed."""
        if (current := stamp(self._path)) in (None, self._stamp):
            return
        self._stamp = current
        published = read_json(self._path)
        origin, note = published.get("origin"), published.get("note")
        try:
            self.model = in_thread(lambda: load(Origin(**origin))) if origin else None
        except ModelError as error:
            self.model = None
            note = f"The challenger does not load in this worker: {error}"
            log_event("challenger.refused", "error", why=str(error))
        self.notes = [note] if note else []
