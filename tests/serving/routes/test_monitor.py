"""/monitor: the latest run's report, which is not to be trusted, or how to make one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from risk_model.model import Model
from serving.following.monitor_run import fetch_latest
from tests.serving.conftest import FakeFollowing

REPORT = "<h1>Drift</h1><script>alert(1)</script>"


class FakeRegistry:
    """A registry with runs of `monitor`, by the version that they are about."""

    report: str | None = REPORT

    def __init__(self, **runs: tuple[str, str]) -> None:
        self.runs = runs

    def monitor_run(self, version: str) -> dict[str, str] | None:
        if (run := self.runs.get(version.replace("-", "_"))) is None:
            return None
        return {"run_id": run[0], "verdict": run[1], "reason": "age is <older>",
                "ended_at": "2026-11-26 05:00:00+00:00"}  # fmt: skip

    def fetch_file(self, run_id: str, name: str, folder: Path) -> None:
        if self.report is None:
            raise OSError("there is none")
        (folder / name).write_text(f"{self.report} {run_id}")


@pytest.fixture
def look(client: FlaskClient, following: FakeFollowing, model: Model, tmp_path: Path) -> Any:
    """Return a function that shows the page after a look at a registry."""
    served = following.model = model.moved(replace(model.origin, directory=str(tmp_path)))

    def page(registry: Any) -> Any:
        fetch_latest(registry, served.origin)
        answer = client.get("/monitor")
        assert answer.status_code == 200
        return answer

    return page


def test_without_a_run_it_says_how_to_make_one(look: Any) -> None:
    assert "mlflow run . -e monitor" in look(FakeRegistry(registry_v1=("other", "ok"))).text


def test_verdict_and_report_are_shown_and_no_script_of_it_can_run(look: Any) -> None:
    page = look(FakeRegistry(registry_v3=("first", "alarm")))
    for words in ("registry-v3: alarm", "age is &lt;older&gt;", " sandbox srcdoc=",
                  "&lt;h1&gt;Drift&lt;/h1&gt;"):  # fmt: skip
        assert words in page.text
    assert "<script>alert" not in page.text
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


def test_the_latest_run_takes_the_place_of_the_one_before(look: Any, client: FlaskClient) -> None:
    look(FakeRegistry(registry_v3=("first", "alarm")))
    page = look(FakeRegistry(registry_v3=("second", "ok"))).text
    assert "registry-v3: ok" in page
    assert "second" in page
    assert "first" not in page
    without_report = FakeRegistry(registry_v3=("third", "ok"))
    without_report.report = None
    with pytest.raises(OSError, match="there is none"):
        look(without_report)
    assert "second" in client.get("/monitor").text
