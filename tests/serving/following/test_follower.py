"""The follower's decisions, with a registry and a check that are made up."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from risk_model.errors import ModelError
from risk_model.model import Origin
from serving.errors import RegistryError
from serving.following.cache import Cache, decision_path
from serving.following.candidates import Candidate
from serving.following.follower import RETRY_BAD_SECONDS, RETRY_FETCH_SECONDS, Follower
from serving.following.probe import check_model
from serving.following.state import State, read_json
from serving.following.state import wait_for as wait_for_wake_up
from tests.serving import forge
from tests.serving.service import environment, wait_for


class FakeRegistry:
    """A registry that says what a test wants."""

    def __init__(self) -> None:
        self.named: list[Candidate] = []
        self.down = False
        self.notes: list[str] = []
        self.fetched: list[str] = []
        self.unfetchable: set[str] = set()
        self.decisions: dict[str, str] = {}

    def candidates(self) -> Iterator[Candidate]:
        if self.down:
            raise RegistryError("down")
        yield from self.named

    def fetch(self, candidate: Candidate, folder: Path) -> None:
        if candidate.version in self.unfetchable:
            raise RegistryError("no such file")
        self.fetched.append(candidate.version)
        (folder / "content").write_text(candidate.version)

    def fetch_plots(self, run_id: str, folder: Path) -> None:
        (folder / "roc.png").write_text(run_id)

    def fetch_file(self, run_id: str, name: str, folder: Path) -> None:
        if run_id not in self.decisions:
            raise OSError("no such run")
        (folder / name).write_text(self.decisions[run_id])


class Bench:
    """A follower and all it deals with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry = FakeRegistry()
        self.bad: set[str] = set()
        self.begin()

    def begin(self, name: str = "state", **settings: Any) -> None:
        """Begin as after a start: another service's folder, the same disk cache."""
        self.state = State(self.folder / name).make()
        self.cache = Cache("registry", 3, self.folder / "models")
        given = {
            "MODEL_URI": "",
            "HEART_LOCAL_MODEL": str(self.folder / "model.pkl"),
            **settings,
        }
        self.follower = Follower(self.registry, self.cache, self.state, given, self.check)

    def check(self, origin: Origin) -> None:
        if origin.version in self.bad:
            raise ModelError("broken")

    def look(self, *versions: str, **more: Any) -> None:
        """Look once; versions are what the registry names now, with more about each."""
        if versions:
            named = {"source": "alias champion", "uri": "uri", "identity": ""} | more
            self.registry.named = [Candidate(version, **named) for version in versions]
        self.follower.look()

    @property
    def published(self) -> dict[str, Any]:
        return read_json(self.state.current)

    @property
    def status(self) -> dict[str, Any]:
        return read_json(self.state.status)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_what_is_served_already_is_published_again_only_with_new_tags(bench: Bench) -> None:
    bench.look("v2", "v1")
    before = bench.state.current.stat().st_ino
    bench.look()
    assert bench.state.current.stat().st_ino == before
    bench.look("v2", tags={"gate.verdict": "passed"})
    assert bench.published["version"] == "v2"
    assert bench.published["tags"] == {"gate.verdict": "passed"}
    assert bench.registry.fetched == ["v2"]
    assert (bench.status["swaps"], bench.status["degraded"]) == (1, False)


def test_at_the_start_the_next_candidate_stands_in_for_one_that_fails(bench: Bench) -> None:
    bench.bad = {"v3"}
    bench.look("v3", "v2")
    assert bench.published["version"] == "v2"
    assert bench.status["degraded"] is True
    assert "v3" in bench.status["problems"][0]


@pytest.mark.parametrize(
    ("what", "seconds"), [("bad", RETRY_BAD_SECONDS), ("unfetchable", RETRY_FETCH_SECONDS)]
)
def test_one_that_fails_is_tried_again_after_a_while(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, what: str, seconds: float
) -> None:
    bench.look("v1")
    failing = bench.bad if what == "bad" else bench.registry.unfetchable
    failing.add("v2")
    bench.look("v2")
    failing.clear()
    bench.look("v2")
    assert bench.published["version"] == "v1"
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + seconds + 1)
    bench.look("v2")
    assert bench.published["version"] == "v2"


def test_a_registry_that_does_not_answer_changes_nothing(bench: Bench) -> None:
    bench.look("v1")
    answered = bench.status["answered_at"]
    bench.registry.down = True
    bench.look()
    assert bench.published["version"] == "v1"
    told = {"degraded": True, "errors": 1, "answered_at": answered}
    assert told.items() <= bench.status.items()
    bench.registry.down = False
    bench.look()
    assert bench.status["degraded"] is False


@pytest.mark.parametrize("damaged", [False, True])
def test_a_start_without_the_registry_takes_what_was_served_last_unless_it_is_damaged(
    bench: Bench, damaged: bool
) -> None:
    bench.look("v1")
    bench.look("v2")
    if damaged:
        Path(bench.published["directory"], "content").write_text("damaged")
    bench.registry.down = True
    bench.begin("second")
    bench.look()
    assert bench.published.get("version") == (None if damaged else "v2")
    assert damaged or "disk cache" in bench.published["source"]
    bench.registry.down = False
    bench.look("v2")
    assert bench.published["source"] == "alias champion"
    assert Path(bench.published["directory"], "content").read_text() == "v2"
    assert bench.registry.fetched == ["v1", "v2", *(["v2"] if damaged else [])]


def test_what_a_worker_cannot_load_is_fetched_again_as_soon_as_the_registry_answers(
    bench: Bench,
) -> None:
    bench.look("v1")
    bench.look("v2")
    before, file = bench.published, bench.state.current.stat().st_ino
    bench.state.report_load_failure(before["key"])
    bench.look()
    assert bench.state.current.stat().st_ino == file  # its files are whole: no others to be had
    Path(before["directory"], "content").write_text("damaged")
    bench.state.report_load_failure(before["key"])
    bench.registry.down = True
    bench.look()
    assert bench.published == before
    bench.registry.down = False
    bench.look()
    assert bench.registry.fetched == ["v1", "v2", "v2"]
    assert bench.state.current.stat().st_ino != file  # so that workers try again
    assert Path(before["directory"], "content").read_text() == "v2"


def test_the_cache_keeps_as_many_models_as_it_may_and_what_another_service_serves(
    bench: Bench,
) -> None:
    bench.look("v1")
    served = Path(bench.published["directory"])
    bench.begin("second")
    for version in ("v2", "v3", "v4", "v5", "v6"):
        bench.look(version)
    kept = [path for path in (bench.folder / "models").iterdir() if path.is_dir()]
    assert len(kept) == 4
    assert {served, Path(bench.published["directory"])} <= set(kept)


def test_a_pinned_source_has_no_fallback(bench: Bench) -> None:
    bench.look("v1")
    bench.begin("second", MODEL_URI="models:/x/9")
    bench.registry.down = True
    bench.look()
    assert bench.published == {}
    assert bench.status["pinned"] is True


def test_the_local_file_is_taken_only_with_its_digest(bench: Bench) -> None:
    pickle = bench.folder / "model.pkl"
    pickle.write_bytes(b"x")
    bench.look()
    assert bench.published == {}
    pickle.with_name("model.pkl.sha256").write_text("abc  model.pkl\n")
    pickle.with_suffix(".json").write_text(json.dumps({"name": "x"}))
    bench.look()
    assert bench.published["version"] == "local-pickle"
    assert Path(bench.published["directory"], "extra_files", "model.json").is_file()
    assert bench.status["degraded"] is True
    bench.look("v1")
    assert bench.published["version"] == "v1"


@pytest.mark.parametrize(("which", "settings", "why"), [
    ("model.pkl", {}, "must belong to this user"),
    ("model.pkl.sha256", {}, "must belong to this user"),
    ("model.json", {}, "must belong to this user"),
    (".", {}, "must belong to this user"),
    (None, {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": False}, "_DESERIALIZATION is false"),
])  # fmt: skip
def test_a_local_file_is_not_taken_where_others_may_write_it_or_pickles_are_forbidden(
    bench: Bench, tmp_path: Path, which: str | None, settings: dict[str, Any], why: str
) -> None:
    local = tmp_path / "local" / "model.pkl"
    local.parent.mkdir()
    for name in ("model.pkl", "model.pkl.sha256", "model.json"):
        (local.parent / name).write_text("{}")
    if which:
        opened = local.parent / which
        mode = opened.stat().st_mode
        opened.chmod(mode | 0o002)
    bench.begin(HEART_LOCAL_MODEL=str(local), **settings)
    bench.look()
    assert bench.published == {}
    assert why in bench.status["problems"][0]
    if which:
        opened.chmod(mode)
        bench.look()
        assert bench.published["version"] == "local-pickle"
        assert why not in bench.status["problems"][0]


def test_a_cache_that_others_may_write_says_nothing_of_what_was_served(tmp_path: Path) -> None:
    planted = tmp_path / "models"
    planted.mkdir()
    planted.chmod(0o777)
    assert Cache("registry", 3, planted).folder != planted
    planted.chmod(0o755)
    assert Cache("registry", 3, planted).folder == planted


def test_a_version_made_anew_under_the_same_number_is_another_model(bench: Bench) -> None:
    bench.look("v1")
    bench.look("v1", identity="another")
    assert bench.registry.fetched == ["v1", "v1"]


def test_what_the_registry_does_not_name_is_not_the_first_choice(bench: Bench) -> None:
    bench.look("v1")
    bench.registry.named = []
    bench.look()
    assert bench.published["version"] == "v1"
    assert bench.status["degraded"] is True
    assert "names no model" in bench.status["problems"][0]
    bench.begin("second")
    for _ in range(2):
        bench.look()
        assert bench.published["version"] == "v1"
        assert bench.status["degraded"] is True


def test_plots_that_fail_leave_nothing_behind_and_are_fetched_after_a_minute(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(run_id: str, folder: Path) -> None:
        (folder / "half.png").write_text(run_id)
        raise OSError

    with monkeypatch.context() as failing:
        failing.setattr(bench.registry, "fetch_plots", fail)
        bench.look("v1", run_id="r" * 32)
    bench.look()
    folder = Path(bench.published["directory"])
    assert {path.name for path in folder.iterdir()} == {"content", "entry.json"}
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + RETRY_BAD_SECONDS + 1)
    bench.look()
    assert {path.name for path in (folder / "plots").iterdir()} == {"roc.png"}


def test_the_gates_latest_decision_is_kept_beside_the_model(bench: Bench) -> None:
    bench.registry.decisions = {"a" * 32: "kept", "b" * 32: "passed"}
    kept = []
    for run_id in bench.registry.decisions:
        bench.look("v1", tags={"gate.run": run_id})
        path = decision_path(Origin(**bench.published))
        kept.append(path and path.read_text())
    assert kept == ["kept", "passed"]
    assert bench.registry.fetched == ["v1"]


@pytest.mark.parametrize("run_id", ["c" * 32, "../../elsewhere", "", "x" * 5000])
def test_a_decision_that_cannot_be_fetched_stops_nothing(bench: Bench, run_id: str) -> None:
    bench.look("v1", tags={"gate.run": run_id})
    assert (bench.published["version"], bench.status["degraded"]) == ("v1", False)
    kept = {path.name for path in Path(bench.published["directory"]).iterdir()}
    assert kept == {"content", "entry.json"}
    bench.look("v2")
    assert bench.published["version"] == "v2"


class _Does:
    """An object whose loading does something else."""

    def __init__(self, *what: Any) -> None:
        self._what = what

    def __reduce__(self) -> tuple[Any, ...]:
        return self._what[0], self._what[1:]


@pytest.mark.parametrize(
    ("loaded", "seconds", "why"),
    [
        (lambda: _Does(time.sleep, 3600), 5, "longer than 5 s"),
        (lambda: _Does(os.abort), 60, "was ended by signal 6"),
        (lambda: _Does(os._exit, 1), 60, "The process that loaded it ended."),
        (lambda: forge.fit("logistic"), 60, "for one patient, more than the 0.0001 s"),
    ],
    ids=["endless", "crash", "exit", "slow"],
)
def test_a_model_is_tried_in_a_process_that_may_die(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loaded: Callable[[], Any], seconds: float,
    why: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("HEART_PATIENT_SECONDS", "0.0001")
    forge.save_local(tmp_path, loaded())
    with pytest.raises(ModelError, match=why):
        check_model(Origin("k", "local-pickle", "s", str(tmp_path)), seconds)


def test_a_disk_that_takes_nothing_does_not_end_the_follower(tmp_path: Path) -> None:
    state = State(tmp_path / "state").make()
    in_the_way = state.status / "in the way"
    in_the_way.mkdir(parents=True)  # so that no status can be written
    env = environment(
        tmp_path, MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path}/none.db", HEART_POLL_SECONDS="0.1"
    )
    words = [sys.executable, "-m", "serving.following", str(state.folder), str(os.getpid())]
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(words, env=env, cwd=tmp_path, stderr=file)
    try:
        wait_for(lambda: log.read_text().count("follower.failed") >= 2, what="two failed looks")
        in_the_way.rmdir()
        state.status.rmdir()
        wait_for(lambda: read_json(state.status).get("looks", 0) > 2, what="a look that is told")
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(30)


def test_a_note_is_logged_when_it_comes_and_not_with_every_look(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    note = "Alias champion names version 1, stage Production version 2."
    for notes, times in (([note], 1), ([note], 0), ([], 0), ([note], 1)):
        bench.registry.notes = notes
        bench.look("v1")
        assert bench.status["notes"] == notes
        assert capfd.readouterr().err.count(note) == times


def test_only_one_follower_holds_the_lock_and_can_be_woken(tmp_path: Path) -> None:
    state = State(tmp_path / "s").make()
    assert not state.has_follower()
    assert not state.wake()
    lock = state.lock()
    assert lock is not None
    assert state.lock() is None
    assert state.has_follower()
    wake_up = state.open_wake_up()
    assert state.wake()
    assert wait_for_wake_up(wake_up, 0)
    assert not wait_for_wake_up(wake_up, 0)
    os.close(wake_up)
    os.close(lock)
