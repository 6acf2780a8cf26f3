"""The tracking store: its errors, each explained in one line, and a run that may not be there."""

import sys

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from clinical.errors import DataError
from steps.parameters.uris import redact_credentials

DATABASES = ("postgresql", "mysql", "mssql")


class StepError(Exception):
    """A step cannot go on; the message is what the user reads."""


def store_errors(*others: type[Exception]) -> tuple[type[Exception], ...]:
    """Return the errors that a tracking store raises, with others: MLflow does not wrap them all.

    Those of S3 exist once its client is loaded: that takes time, and few stores need it.
    """
    boto, core = sys.modules.get("boto3.exceptions"), sys.modules.get("botocore.exceptions")
    s3 = (boto.Boto3Error, core.BotoCoreError, core.ClientError) if boto and core else ()
    return (MlflowException, SQLAlchemyError, *s3, *others)


def expected_errors() -> tuple[type[Exception], ...]:
    """Return the errors that a step reports by their message alone."""
    return store_errors(DataError, StepError, OSError)


def is_not_found(error: MlflowException) -> bool:
    """Return whether an error means that something does not exist, rather than a failed store."""
    absent = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "INVALID_PARAMETER_VALUE")
    # Databricks has codes of its own, which MLflow passes on in the message only.
    return error.error_code in absent or "DOES_NOT_EXIST" in str(error)


def explain(error: BaseException) -> str:
    """Return what went wrong in one line, without what MLflow and SQLAlchemy append."""
    if isinstance(error, OSError) and error.filename:
        return redact_credentials(f"{error.strerror}: {error.filename}")
    text, kind = str(error).strip(), type(error).__name__
    if text and isinstance(error, Exception) and not isinstance(error, expected_errors()):
        # The message of a library's error may hold a patient's value.
        text = f"{kind}, whose message may hold a patient's value and is not shown"
    text = text or kind
    return redact_credentials(text.splitlines()[0] if isinstance(error, store_errors()) else text)


def run_or_none(run_id: str) -> Run | None:
    """Return a run, None where it does not exist."""
    try:
        return MlflowClient().get_run(run_id)
    except MlflowException as error:
        if not is_not_found(error):
            raise
        return None


def scheme(uri: str) -> str:
    """Return what kind of store a URI names, without the driver: postgresql+psycopg is one."""
    return uri.split(":", maxsplit=1)[0].split("+", maxsplit=1)[0]
