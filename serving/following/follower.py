"""What is served: the follower fetches it into the disk cache, checks it, and publishes it.

It looks at the registry every few seconds and whenever it is woken. Whatever goes wrong, what is
published stays.
"""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from risk_model.errors import ModelError
from risk_model.layout import EXTRA, METADATA
from risk_model.model import LOCAL, Origin
from risk_model.serialization import PICKLE_SETTING
from serving.errors import RegistryError
from serving.following.cache import GATE_RUN, PLOTS, Cache, decision_path, new_folder
from serving.following.candidates import Candidate
from serving.following.ownership import read_ours
from serving.following.registry import MlflowRegistry
from serving.following.state import State, read_json, write_json
from serving.http.log import log_event
from serving.settings import Settings

RETRY_BAD_SECONDS = 60.0
RETRY_FETCH_SECONDS = 5.0
_COUNTS = ("looks", "errors", "swaps", "failed_swaps")


class Follower:
    """Decides what is served.

    Its check loads a model in order to know that it loads, and raises ModelError.
    """

    def __init__(
        self,
        registry: MlflowRegistry,
        cache: Cache,
        state: State,
        settings: Settings,
        check: Callable[[Origin], None],
    ) -> None:
        self._registry = registry
        self._cache = cache
        self._state = state
        self._settings = settings
        self._check = check
        self._bad: dict[str, tuple[float, str]] = {}
        self._damaged: set[str] = set()
        published = read_json(state.current)
        self.current: Origin | None = Origin(**published) if published else None
        previous = read_json(state.status)
        self._counts = {name: int(previous.get(name, 0)) for name in _COUNTS}
        self._answered_at: float | None = previous.get("answered_at")
        self._lock, self._falling_back = threading.Lock(), threading.Lock()
        self._fetch_again: dict[Path, float] = {}
        self._problems: list[str] = []
        self._noted: list[str] = []
        self._local_refused = ""

    # -- looking ---------------------------------------------------------------------------------

    def look(self) -> None:
        """Look at the registry once and publish what follows from it."""
        self._note_damage()
        self._problems = []
        self._counts["looks"] += 1
        degraded, answered = True, False
        try:
            degraded, answered = not self._follow(), True
            self._answered_at = time.time()
        except RegistryError as error:
            self._counts["errors"] += 1
            self._problems.append(str(error))
            log_event("registry.error", "warning", why=str(error))
        self.fall_back()
        if self.current is None and self._local_refused:
            self._problems.append(self._local_refused)
        self._report(degraded)
        if answered and self.current is not None:  # after the report, for it may take its time
            self._fetch_for_pages(self.current)

    def _follow(self) -> bool:
        """Go through the candidates; return whether the first one is served now.

        False without candidates: the served model then is not one of the registry.
        """
        for place, candidate in enumerate(self._registry.candidates()):
            if self._publish(candidate):
                return place == 0
            if self.current is not None:
                break  # A model that fails must not throw out one that works.
        return False

    def _publish(self, candidate: Candidate) -> bool:
        key = self._cache.key(candidate.version, candidate.identity)
        version, source = candidate.version, candidate.source
        origin = Origin(key, version, source, "", candidate.tags, candidate.run_id)
        current = self.current
        if current is not None and current.key == key and key not in self._damaged:
            origin = replace(origin, directory=current.directory)
            self._go_over(origin)
            return True
        until, why = self._bad.get(key, (0.0, ""))
        if time.monotonic() < until:  # else never tried, or perhaps it has been repaired meanwhile
            self._problems.append(why)
            return False
        started = time.monotonic()
        try:
            origin = self._cache.provide(origin, partial(self._registry.fetch, candidate))
            self._check(origin)
        except (ModelError, RegistryError) as error:
            # One that takes its time to fail may not keep the follower from all other models.
            bad = max(RETRY_BAD_SECONDS, 10 * (time.monotonic() - started))
            pause = bad if isinstance(error, ModelError) else RETRY_FETCH_SECONDS
            self._note_bad(origin, str(error), pause)
            return False
        self._go_over(origin)
        return True

    def _go_over(self, origin: Origin) -> None:
        with self._lock:
            if origin == self.current and origin.key not in self._damaged:
                return
            self._damaged.discard(origin.key)
            swapped = self.current is None or self.current.key != origin.key
            self.current = origin
            write_json(self._state.current, asdict(origin))
        self._cache.remember(origin, self._state.served_nearby())
        if swapped:
            self._counts["swaps"] += 1
            log_event("model.published", model_version=origin.version, source=origin.source)

    # -- what fails ------------------------------------------------------------------------------

    def _note_bad(self, origin: Origin, why: str, pause: float) -> None:
        why = f"{origin.version} ({origin.source}) is not served: {why}"
        if origin.key not in self._bad:
            self._counts["failed_swaps"] += 1
        self._bad[origin.key] = (time.monotonic() + pause, why)
        self._cache.remove(origin.key)
        self._problems.append(why)
        log_event("model.refused", "error", model_version=origin.version, why=why)

    def _note_damage(self) -> None:
        """Note what a worker could not load, where its files are damaged, to fetch it again.

        It stays what is served: other workers hold it, and the registry may be down.
        """
        for key in self._state.take_load_failures():
            is_current = self.current is not None and key == self.current.key
            if is_current and self._cache.find(key) is None:
                self._damaged.add(key)

    # -- without the registry --------------------------------------------------------------------

    def fall_back(self) -> None:
        """Publish the last model that this host served, or else the local file, for want of any."""
        with self._falling_back:  # the timer of the start may come while a look does it
            self._fall_back()

    def _fall_back(self) -> None:
        if self.current is not None or self._settings["MODEL_URI"]:
            return
        for origin in (self._cache.last_served(), self._local()):
            if origin is None:
                continue
            try:
                self._check(origin)
            except ModelError as error:
                log_event("model.refused", "error", model_version=origin.version, why=str(error))
                continue
            if self.current is None:
                source = origin.source
                if origin.version != LOCAL and not source.startswith("disk cache"):
                    source = f"disk cache ({source} when it was served last)"
                self._go_over(replace(origin, source=source))
            return

    def _local(self) -> Origin | None:
        path = Path(self._settings["HEART_LOCAL_MODEL"])
        recorded, metadata = path.with_name(path.name + ".sha256"), path.with_suffix(".json")
        if not path.is_file() or not recorded.is_file():
            return None
        try:
            if self._settings.get(PICKLE_SETTING) is False:
                raise PermissionError(f"{PICKLE_SETTING} is false")
            contents = {"model.pkl": read_ours(path), "model.pkl.sha256": read_ours(recorded)}
            if metadata.exists():
                contents[METADATA] = read_ours(metadata)
        except OSError as error:
            why = f"The local file is not taken: {error.strerror or error}."
            if why != self._local_refused:  # The status shows it as long as it holds.
                log_event("model.refused", "error", model_version=LOCAL, why=why)
            self._local_refused = why
            return None
        self._local_refused = ""

        def fetch(into: Path) -> None:
            (into / EXTRA).mkdir()
            for name, content in contents.items():
                (into / name).write_bytes(content)

        key = self._cache.key(LOCAL, contents["model.pkl.sha256"].decode(errors="replace"))
        return self._cache.provide(Origin(key, LOCAL, "local file"), fetch)

    # -- telling ---------------------------------------------------------------------------------

    def _fetch_for_pages(self, origin: Origin) -> None:
        """Fetch what pages show beside the model, where it is not here yet."""
        self._fetch_missing(
            Path(origin.directory, PLOTS), origin.run_id, self._registry.fetch_plots
        )
        if (kept := decision_path(origin)) is not None:
            fetch = partial(self._registry.fetch_file, name=kept.name)
            self._fetch_missing(kept.parent, origin.tags[GATE_RUN], fetch)

    def _fetch_missing(self, target: Path, run_id: str, fetch: Callable[..., None]) -> None:
        again = self._fetch_again.get(target, 0.0)
        if not run_id or target.is_dir() or time.monotonic() < again:
            return
        self._fetch_again[target] = time.monotonic() + RETRY_BAD_SECONDS
        try:
            with new_folder(target) as work:
                fetch(run_id, folder=work)
        except Exception as error:  # an ornament: a model serves without it
            if not again:
                log_event("artifact.missing", "warning", what=target.name, why=type(error).__name__)

    def _report(self, degraded: bool) -> None:
        notes = list(self._registry.notes)
        for note in notes:
            if note not in self._noted:
                log_event("registry.note", "warning", what=note)
        self._noted = notes
        if degraded and not self._problems and self.current is not None:
            served = f"{self.current.version} ({self.current.source})"
            self._problems = [f"The registry names no model that could be served; {served} is."]
        write_json(
            self._state.status,
            {
                "pid": os.getpid(),
                "answered_at": self._answered_at,
                "degraded": degraded or self.current is None,
                "problems": self._problems,
                "notes": notes,
                "pinned": bool(self._settings["MODEL_URI"]),
                **self._counts,
            },
        )
