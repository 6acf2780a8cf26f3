"""What a model has seen is known, or nothing is measured: a store that fails says nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from risk_model.metadata import Metadata
from steps.runs.lineage import Lineage
from steps.runs.store import StepError
from tests.servers import fails, gives, serving
from tests.steps.conftest import Patients


def test_a_run_that_does_not_say_is_no_run_that_has_seen_nobody(
    make_run: Callable[..., Run], sample: Patients
) -> None:
    for run in (make_run(), None):
        with pytest.raises(StepError, match="does not say which patients"):
            Lineage(Path(), Metadata(), run).has_seen(sample[0])


def test_a_store_that_fails_is_told_and_nobody_counts_as_unseen(
    client: MlflowClient, sample: Patients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with serving(fails(503, gives(b""), times=1000)) as server:
        place = server.url("api/2.0/mlflow-artifacts/artifacts")
        run = client.create_run(client.create_experiment("elsewhere", artifact_location=place))
        lineage = Lineage(Path(), Metadata(), run)
        for name in ("held_out", "out_of_fold", "training_rows"):
            with pytest.raises(StepError, match=f"not give split/{name}.parquet.*503") as found:
                getattr(lineage, name)
            assert "\n" not in str(found.value)
        with pytest.raises(StepError):
            lineage.has_seen(sample[0])
