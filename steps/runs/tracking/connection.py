"""Connecting to the tracking store: whether it answers, and in one line why it does not."""

import logging
import os
import re
import socket
from itertools import chain, count
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
from mlflow import MlflowClient
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from risk_model.locations import file_path, sqlite_path
from steps.parameters.uris import redact_credentials
from steps.runs.store import DATABASES, StepError, explain, scheme, store_errors

# MLflow's own patience adds up to minutes, and its bars show nothing that takes time here. What
# the user has set stays.
SETTINGS = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "PGCONNECT_TIMEOUT": "5",
}
CONNECT_SECONDS = 5

# For these a step prints one line instead of a traceback.
NOISY_LOGGERS = ("mlflow.store.db.utils", "psycopg")

PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306}


def reach(launched: bool) -> None:
    """Make sure that the tracking store answers, within seconds.

    Where ``mlflow run`` has `launched` this process, that was maybe from another directory.

    Raises a `StepError` with one line that names the store and what to do.
    """
    for name, value in SETTINGS.items():
        # An empty value means unset, and would be no number to MLflow.
        os.environ[name] = os.environ.get(name) or value
    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    uri = mlflow.get_tracking_uri()
    _refuse_file_store(uri)
    _check_listening(os.environ.get("DATABRICKS_HOST", "") if scheme(uri) == "databricks" else uri)
    if launched:
        _refuse_lost_sqlite(uri)
    try:
        _log_in(uri)
        MlflowClient().search_experiments(max_results=1)
    except store_errors() as error:
        raise refusal(error) from None


def refusal(error: BaseException) -> StepError:
    """Return the error for a refusal by the tracking store, with what helps."""
    uri, text = mlflow.get_tracking_uri(), explain(error)
    hint = ""
    if re.search(r"error code 40[13]\b|PERMISSION_DENIED|UNAUTHENTICATED", text):
        of_server = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        names = "DATABRICKS_TOKEN" if scheme(uri) == "databricks" else of_server
        hint = f"; set {names} to what it accepts"
    elif re.search(r"already exists|duplicate key", text):
        hint = '; make a new database ready once, first: mlflow db upgrade "$MLFLOW_TRACKING_URI"'
    return StepError(f"{_named(uri)} refused: {text}{hint}")


def _named(uri: str) -> str:
    return f"the tracking store {redact_credentials(uri)}"


def _check_listening(uri: str) -> None:
    try:
        parts = urlsplit(uri)
        port = PORTS.get(scheme(uri))
        if not (parts.hostname and port):
            return
        socket.create_connection((parts.hostname, parts.port or port), CONNECT_SECONDS).close()
    except ValueError:
        # The error would repeat the part of the address that it stumbled over.
        raise StepError(f"{_named(uri)} has no valid address") from None
    except OSError as error:
        raise StepError(
            f"{_named(uri)} does not answer ({error}); "
            "start it, or set MLFLOW_TRACKING_URI to another"
        ) from None


def _log_in(uri: str) -> None:
    """Connect to a database once: MLflow would try a wrong password for two minutes."""
    if scheme(uri) not in DATABASES:
        return
    try:
        create_engine(uri, poolclass=NullPool).connect().close()
    except ImportError as error:
        raise StepError(f"{_named(uri)} needs a driver that is not installed ({error})") from None


def _refuse_lost_sqlite(uri: str) -> None:
    """Refuse a relative database path that was meant from the directory of ``mlflow run``."""
    path = sqlite_path(uri)
    if path and not path.is_absolute() and not path.exists():
        raise StepError(
            f"no database {path} in {Path.cwd()}: 'mlflow run' from another directory needs "
            f"an absolute MLFLOW_TRACKING_URI, such as sqlite:////home/me/{path.name}"
        )


def _refuse_file_store(uri: str) -> None:
    """Refuse a folder such as ./mlruns, which MLflow has given up as a store, with the way out."""
    allowed = os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() in ("true", "1")
    is_path = ":" not in uri and uri != "databricks"
    path = file_path(uri) if is_path or scheme(uri) == "file" else None
    if allowed or path is None:
        return
    folder = path.resolve()
    root = folder.parent if folder.name == "mlruns" else folder
    names = chain(["mlflow.db"], (f"mlflow-{number}.db" for number in count(2)))
    database = next(root / name for name in names if not (root / name).exists())
    raise StepError(
        f"{folder} is a file store, which MLflow has given up; two commands move it to a database: "
        f"mlflow migrate-filestore --source '{root}' --target 'sqlite:///{database}' && "
        f"export MLFLOW_TRACKING_URI='sqlite:///{database}'"
    )
