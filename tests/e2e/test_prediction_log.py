"""Prediction log, shadow and /monitor on the real service: ended, killed, on a full disk."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from mlflow import MlflowClient

from clinical.schema import FEATURE_NAMES
from risk_model.prediction_log import files
from risk_model.prediction_log.records import ROWS, rows_schema
from tests import pages
from tests.e2e.clones import Clone
from tests.e2e.registry import NAME, Registry
from tests.serving import forge
from tests.serving.service import PATIENT, running, wait_for

AGE = 54.1875
MARKED = json.dumps(json.loads(PATIENT) | {"age": AGE}).encode()
"""A patient whose age is to be found nowhere but in the log's rows."""


@pytest.fixture
def uri(registry: Registry) -> str:
    """Return a registry whose champion is version 1, and whose challenger is version 2."""
    registry.client.set_registered_model_alias(NAME, "challenger", "2")
    return registry.uri


def logging(kind: str, folder: Path) -> dict[str, str]:
    return {"HEART_PREDICTION_LOG": kind, "HEART_PREDICTION_LOG_DIR": str(folder)}


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of a log by id; each is there once, and every file is whole."""
    log = files.read(folder, ROWS)
    assert log.problems == []
    found = {row["id"]: row for row in log.table.to_pylist()}
    assert len(found) == log.table.num_rows
    return found


def batch(count: int) -> bytes:
    data = forge.patients(count, seed=count, unknown=0).tolist()
    columns = list(FEATURE_NAMES)
    return json.dumps({"dataframe_split": {"columns": columns, "data": data}}).encode()


def log_monitor_run(client: MlflowClient) -> None:
    """Log a run of `monitor` about version 1."""
    experiment = client.get_experiment_by_name("Heart Disease Prediction")
    assert experiment is not None
    tags = {"heart.step": "monitor", "monitor.version": "1", "monitor.verdict": "warning",
            "monitor.reason": "patients are older"}  # fmt: skip
    run = client.create_run(experiment.experiment_id, tags=tags).info.run_id
    client.log_param(run, "name", NAME)
    client.log_text(run, "<h1>Ages</h1>", "monitoring.html")
    client.set_terminated(run)


def test_what_was_answered_is_in_the_log_once_the_service_has_ended(
    registry: Registry, uri: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    log_monitor_run(registry.client)
    with running(tmp_path / "home", uri, HEART_SHADOW="1", **logging(ROWS, log)) as service:
        wait_for(
            lambda: {service.ready()[1]["challenger_version"] for _ in range(20)} == {"registry-v2"}
        )
        before = service.metric("heart_shadow_predictions_total{")
        answers = [service.ask("/predict", MARKED) for _ in range(20)]
        assert service.ask("/invocations", batch(30))[0] == 200
        wait_for(lambda: service.metric("heart_shadow_predictions_total{") >= before + 50)
        metrics = str(service.ask("/metrics")[1])
        wait_for(lambda: "registry-v1: warning" in service.ask("/monitor")[1])
        page = service.ask("/monitor")[1]
        # A challenger that cannot be served leaves answers as they are.
        (registry.artifacts(4) / "extra_files" / "twin.onnx").write_bytes(b"no model")
        registry.client.set_registered_model_alias(NAME, "challenger", "4")
        wait_for(lambda: "registry-v4 is not in shadow" in str(service.ready()))
        ready, body = service.ready()
        assert (ready, body["degraded"], body["problems"]) == (200, False, [])
        assert service.version() == "registry-v1"
        assert service.stop() == 0
    assert "patients are older" in page
    assert "&lt;h1&gt;Ages" in page
    logged = rows(log)
    for status, answer in answers:
        row = logged[answer["prediction_id"]]
        assert (status, row["age"]) == (200, AGE)
        assert row["probability"] == pytest.approx(answer["probability"], abs=1e-6)
        assert row["challenger_version"] == "registry-v2"
    told = service.log.read_text()
    assert '"event": "prediction.log.rows"' in told  # the warning
    assert str(AGE) not in told + metrics
    assert "Traceback" not in told
    assert log.stat().st_mode & 0o077 == 0


def test_a_worker_killed_with_9_loses_what_it_had_not_written_and_no_more(
    uri: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with running(tmp_path / "home", uri, workers=1, **logging(ROWS, log)) as service:
        for _ in range(3):
            assert service.ask("/invocations", batch(2000))[0] == 200
        wait_for(lambda: len(rows(log)) >= 6000)
        lost = [service.ask("/predict", PATIENT)[1]["prediction_id"] for _ in range(10)]
        (worker,) = service.workers()
        worker.kill()
        worker.wait(60)
        status, kept = wait_for(lambda: service.version() and service.predict())
        assert status == 200
        assert service.stop() == 0
    logged = rows(log)
    assert kept["prediction_id"] in logged
    assert not logged.keys() & set(lost)


def test_a_full_disk_fails_no_answer_and_is_said_until_there_is_room(
    uri: str, tmp_path: Path, small_disk: Path
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 900_000)
    options = logging(ROWS, small_disk / "log")
    with running(tmp_path / "home", uri, workers=1, **options) as service:

        def fills() -> bool:
            assert service.ask("/invocations", batch(3000))[0] == 200
            return "No space left" in str(service.ready()[1]["notes"])

        wait_for(fills)
        for _ in range(8):
            assert service.ask("/invocations", batch(3000))[0] == 200
        wait_for(lambda: service.metric("heart_prediction_log_dropped_total") > 0)
        assert service.ask("/predict", MARKED)[0] == 200
        ballast.unlink()
        wait_for(lambda: "No space left" not in str(service.ready()[1]["notes"]))
        assert "missing from the log" in str(service.ready()[1]["notes"])
        assert service.stop() == 0
    assert len(rows(small_disk / "log")) >= 3000
    told = service.log.read_text()
    assert '"event": "prediction.log.failed"' in told
    assert '"event": "prediction.log.writes.again"' in told
    assert str(AGE) not in told


def test_the_command_on_the_page_erases_a_patient(clone: Clone, tmp_path: Path) -> None:
    (block,) = pages.blocks("erase predictions")
    words = block.split()
    log = tmp_path / "log"
    table = pa.Table.from_pylist([{"id": words[-1]}, {"id": "another-0"}], rows_schema())
    files.write(table, log / ROWS / "date=2026-11-26")
    clone.env |= {"HEART_PREDICTION_LOG_DIR": str(log)}
    assert clone.run(*words).succeeded().output.startswith("1 rows erased.")
    assert list(rows(log)) == ["another-0"]
