"""What a model has seen is known, or nothing is measured: a store that fails says nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from clinical import copies
from risk_model.metadata import Metadata
from steps.runs.lineage import Lineage
from steps.runs.store import StepError

Patients = tuple[pd.DataFrame, np.ndarray]


class Refusing(BaseHTTPRequestHandler):
    """Answers as a store whose artifacts cannot be had for now."""

    def do_GET(self) -> None:
        """Refuse."""
        self.send_error(503)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def refusing() -> Iterator[str]:
    """Return the address of a server that refuses whatever is asked."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api/2.0/mlflow-artifacts/artifacts"
        server.shutdown()


def lineage(run: Run | None) -> Lineage:
    return Lineage(Path(), Metadata(), run)


def test_who_was_trained_on_is_marked(
    client: MlflowClient, make_run: Callable[..., Run], sample: Patients, tmp_path: Path
) -> None:
    run, (features, _) = make_run(), sample
    rows = pd.DataFrame({"row_hash": copies.row_hashes(features[:200])})
    rows.to_parquet(tmp_path / "training_rows.parquet")
    client.log_artifact(run.info.run_id, str(tmp_path / "training_rows.parquet"), "split")
    seen = lineage(client.get_run(run.info.run_id)).has_seen(features)
    assert seen[:200].all()
    assert not seen[200:].any()


def test_a_run_that_does_not_say_is_no_run_that_has_seen_nobody(
    make_run: Callable[..., Run], sample: Patients
) -> None:
    for run in (make_run(), None):
        with pytest.raises(StepError, match="does not say which patients") as found:
            lineage(run).has_seen(sample[0])
        assert "\n" not in str(found.value)


def test_a_store_that_fails_is_told_and_nobody_counts_as_unseen(
    client: MlflowClient, sample: Patients, refusing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    experiment = client.create_experiment("elsewhere", artifact_location=refusing)
    run = client.create_run(experiment)
    for name in ("held_out", "out_of_fold", "training_rows"):
        with pytest.raises(StepError, match=f"does not give split/{name}.parquet.*503") as found:
            getattr(lineage(run), name)
        assert "\n" not in str(found.value)
    with pytest.raises(StepError):
        lineage(run).has_seen(sample[0])
