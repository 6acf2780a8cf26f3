"""The walk-through of docs/monitoring.md: its commands, on the patients that it is about."""

import json
from pathlib import Path
from typing import Any

from tests import pages
from tests.e2e.backends import a_server
from tests.e2e.clones import Clone, Done
from tests.servers import gives, serving
from tests.serving.service import Service, free_port, wait_for

HUNGARY = "heart-disease-hungary"


def run(clone: Clone, block: str, **env: str) -> list[Done]:
    return [clone.run("bash", "-c", line, **env).succeeded() for line in block.strip().splitlines()]


def ask_the_service(clone: Clone) -> None:
    """Run the page's service, and its patients against it, on a port of its own."""
    (command,) = pages.blocks("walk-through service")
    (script,) = pages.blocks("walk-through patients")
    port, words = str(free_port()), ["bash", "-c", f"cd heart; exec env {command}"]
    env, url = clone.environment(HEART_PORT=port), f"http://127.0.0.1:{port}/ping"
    with a_server(words, clone.path.parent, url, **env) as process:
        service = Service(process, int(port), clone.path)
        wait_for(lambda: service.ready()[0] == 200, what="a model")
        clone.run("python", "-c", script.replace("8000", port)).succeeded()
        service.stop()  # what it has counted is written by then


def monitoring(clone: Clone) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the tags of the latest monitoring run, and what it found of the champion."""
    latest = clone.runs("monitor", "FINISHED")[0]
    report = clone.client.download_artifacts(latest.info.run_id, "monitoring.json")
    (model,) = json.loads(Path(report).read_text())["models"]
    return latest.data.tags, model


def aliases(clone: Clone, name: str) -> dict[str, str]:
    given = clone.client.get_registered_model(name).aliases
    return {alias: str(version) for alias, version in given.items()}


def test_the_walk_through_is_as_the_page_tells_it(cleveland: Clone, uci_zip: Path) -> None:
    _, long_beach, budapest, update, later, retrained = pages.blocks("walk-through")
    ask_the_service(cleveland)

    run(cleveland, long_beach)
    tags, model = monitoring(cleveland)
    assert tags["monitor.verdict"] == "alarm"
    assert model["rows"] == 430
    drifting = {name for name, one in model["variables"].items() if one["matters"]}
    assert {"ca", "thal", "slope"} <= drifting
    assert not [one for one in model["outcomes"]["judged"] if one["left"]]

    run(cleveland, budapest)
    tags, model = monitoring(cleveland)
    assert tags["monitor.reason"].startswith("calibration intercept is -0.6")
    assert model["outcomes"]["measured"]["metrics"]["observed_expected"] < 0.85

    run(cleveland, update)
    assert aliases(cleveland, HUNGARY) == {"challenger": "1"}
    updated = cleveland.metadata(cleveland.runs("train", "FINISHED")[0])
    assert updated["base"]["uri"] == "models:/heart-disease-model/1"

    _, registered, _ = run(cleveland, later)
    assert "not judged: female" in registered.output
    assert aliases(cleveland, HUNGARY) == {"champion": "1"}
    (cohort,) = json.loads((cleveland.path / "reports" / "evaluation.json").read_text())["cohorts"]
    assert cohort["patients"] == 145
    assert 0.9 < cohort["metrics"]["observed_expected"] < 1.1

    with serving(gives(uci_zip.read_bytes())) as server:
        run(cleveland, retrained, HEART_UCI_URL=server.url())
    facts = cleveland.metadata(cleveland.runs("train", "FINISHED")[0])
    assert [part["source"] for part in facts["data"]["origins"]] == ["uci", "file"]
    assert [part["patients"] for part in facts["data"]["origins"]] == [303, 146]
    assert next(one for one in facts["elsewhere"] if one["site"] == "hungarian")["patients"] <= 147
    assert aliases(cleveland, "heart-disease-model") == {"champion": "1", "challenger": "2"}
