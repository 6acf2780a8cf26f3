"""/monitor: the latest run's report, which is not to be trusted, or how to make one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from risk_model.model import Model
from serving.following.monitor_run import fetch_latest
from tests.serving.conftest import FakeFollowing, MakeApp

REPORT = "<h1>Drift</h1><script>alert(1)</script>"


class FakeRegistry:
    """A registry with runs of `monitor`."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, str]] = {}
        self.report: str | None = REPORT

    def fetch(self, served: Model) -> None:
        """Let the follower look."""
        fetch_latest(self, served.origin)  # type: ignore[arg-type]

    def monitor_run(self, version: str) -> dict[str, str] | None:
        return self.runs.get(version)

    def fetch_file(self, run_id: str, name: str, folder: Path) -> None:
        if self.report is None:
            raise OSError("there is none")
        (folder / name).write_text(f"{self.report} {run_id}")


def a_run(run_id: str, verdict: str = "alarm") -> dict[str, str]:
    return {"run_id": run_id, "verdict": verdict, "reason": "age is <older>",
            "ended_at": "2026-11-26 05:00:00+00:00"}  # fmt: skip


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def served(following: FakeFollowing, model: Model, tmp_path: Path) -> Model:
    following.model = model.moved(replace(model.origin, directory=str(tmp_path)))
    return following.model


def test_without_a_run_it_says_how_to_make_one(
    make_app: MakeApp, registry: FakeRegistry, served: Model
) -> None:
    registry.runs["registry-v1"] = a_run("of-another-version")
    registry.fetch(served)
    page = make_app().test_client().get("/monitor")
    assert page.status_code == 200
    assert "mlflow run . -e monitor" in page.text


def test_verdict_and_report_are_shown_and_no_script_of_it_can_run(
    make_app: MakeApp, registry: FakeRegistry, served: Model
) -> None:
    registry.runs["registry-v3"] = a_run("first")
    registry.fetch(served)
    page = make_app().test_client().get("/monitor")
    assert "registry-v3: alarm" in page.text
    assert "age is &lt;older&gt;" in page.text
    assert " sandbox srcdoc=" in page.text
    assert "<script>alert" not in page.text
    assert "&lt;h1&gt;Drift&lt;/h1&gt;" in page.text
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


def test_the_latest_run_takes_the_place_of_the_one_before(
    make_app: MakeApp, registry: FakeRegistry, served: Model
) -> None:
    for run in (a_run("first"), a_run("second", "ok")):
        registry.runs["registry-v3"] = run
        registry.fetch(served)
    page = make_app().test_client().get("/monitor").text
    assert "registry-v3: ok" in page
    assert "second" in page
    assert "first" not in page
    registry.runs["registry-v3"], registry.report = a_run("third"), None
    with pytest.raises(OSError, match="there is none"):
        registry.fetch(served)
    assert "second" in make_app().test_client().get("/monitor").text
