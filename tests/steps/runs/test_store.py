"""Reaching the tracking store, and in one line why it cannot be used."""

import os
import time
from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from steps.runs.store import StepError
from steps.runs.tracking.connection import reach
from steps.runs.tracking.connection import refusal as refusal_of
from tests.servers import closed_port, silent_port
from tests.steps.stores import store_in_use, use_store


def refusal(uri: str, launched: bool = False) -> str:
    """Return what is said about a store that is refused."""
    with store_in_use(uri), pytest.raises(StepError) as caught:
        reach(launched)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "scheme", ["http", "https", "postgresql", "postgresql+psycopg2", "mysql+pymysql"]
)
def test_a_store_that_nobody_serves_is_refused_at_once_in_one_line(scheme: str) -> None:
    port = closed_port()
    start = time.monotonic()
    said = refusal(f"{scheme}://clinic:hunter2@127.0.0.1:{port}/mlflow")
    assert time.monotonic() - start < 30
    who = "***" if scheme.startswith("http") else "clinic:***"
    shown = f"{scheme}://{who}@127.0.0.1:{port}/mlflow"
    assert said.startswith(f"the tracking store {shown} does not answer")
    assert "MLFLOW_TRACKING_URI" in said


def test_a_store_whose_host_swallows_everything_is_refused_within_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def swallow(_address: object, timeout: float) -> None:
        assert timeout <= 10
        raise TimeoutError("timed out")

    monkeypatch.setattr("socket.create_connection", swallow)
    assert "does not answer (timed out)" in refusal("http://192.0.2.1:5000")


def test_a_server_that_takes_the_connection_and_says_nothing_is_refused_within_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with silent_port() as port:
        start = time.monotonic()
        said = refusal(f"http://127.0.0.1:{port}")
    assert time.monotonic() - start < 30
    assert said.startswith(f"the tracking store http://127.0.0.1:{port} refused")


def test_the_patience_with_a_server_is_seconds_unless_the_user_set_it(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    reach(launched=False)
    assert int(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"]) <= 30
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"


@pytest.mark.parametrize("uri", ["http://127.0.0.1:abc", "http://127.0.0.1:99999", "http://[::1"])
def test_an_address_that_is_none_is_refused_in_one_line(uri: str) -> None:
    assert uri in refusal(uri)


def test_a_relative_database_that_is_not_here_is_refused_to_a_launch(tmp_path: Path) -> None:
    said = refusal("sqlite:///mlflow.db", launched=True)
    assert f"no database mlflow.db in {tmp_path}" in said
    assert "absolute MLFLOW_TRACKING_URI" in said
    assert not (tmp_path / "mlflow.db").exists()


def test_a_relative_database_is_made_for_who_runs_a_step_by_hand(tmp_path: Path) -> None:
    use_store("sqlite:///mlflow.db")
    reach(launched=False)
    assert (tmp_path / "mlflow.db").exists()


def test_a_relative_database_that_is_here_serves_a_launch(store: str, tmp_path: Path) -> None:
    (tmp_path / "Schöne Daten").mkdir()
    (tmp_path / "mlflow.db").rename(tmp_path / "Schöne Daten" / "mlflow.db")
    use_store("sqlite:///Sch%C3%B6ne%20Daten/mlflow.db")
    reach(launched=True)


# --- what helps ------------------------------------------------------------------------------


@pytest.mark.parametrize(("uri", "said", "hint"), [
    ("http://host:5000", "API request failed with error code 401 != 200",
     "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
    ("databricks", "API request failed with error code 403 != 200", "set DATABRICKS_TOKEN"),
    ("http://host:5000", "no space left", "refused: no space left"),
    ("postgresql://u:hunter2@host/mlflow", 'relation "experiments" already exists',
     'mlflow db upgrade "$MLFLOW_TRACKING_URI"'),
])  # fmt: skip
def test_a_refusal_says_what_helps(
    monkeypatch: pytest.MonkeyPatch, uri: str, said: str, hint: str
) -> None:
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: uri)
    told = str(refusal_of(MlflowException(f"{said}\nand more")))
    assert said in told
    assert hint in told
    assert "hunter2" not in told
    assert len(told.splitlines()) == 1


def test_databricks_is_knocked_at_where_its_host_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", f"http://127.0.0.1:{closed_port()}")
    assert "does not answer" in refusal("databricks")


def test_a_driver_that_is_not_installed_is_named() -> None:
    with silent_port() as port:
        said = refusal(f"postgresql+pg8000://127.0.0.1:{port}/mlflow")
    assert "needs a driver that is not installed" in said
    assert "pg8000" in said


@pytest.mark.parametrize("name", ["mlruns", "runs", "Schöne Läufe"])
@pytest.mark.parametrize("form", ["{}", "file://{}", "uri"])
def test_a_file_store_is_refused_with_the_commands_that_move_it(
    tmp_path: Path, name: str, form: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (tmp_path / "mlflow.db").write_text("somebody's")
    said = refusal(folder.as_uri() if form == "uri" else form.format(folder))
    root = tmp_path if name == "mlruns" else folder
    # The migration would replace a database that is there.
    database = root / ("mlflow-2.db" if name == "mlruns" else "mlflow.db")
    assert f"mlflow migrate-filestore --source '{root}' --target 'sqlite:///{database}'" in said
    assert f"export MLFLOW_TRACKING_URI='sqlite:///{database}'" in said
    assert not database.exists()


def test_a_file_store_that_the_user_insists_on_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    use_store(f"file://{tmp_path}/mlruns")
    reach(launched=False)
