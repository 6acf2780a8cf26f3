"""What is secret in a URL is not shown."""

import pytest

from steps.parameters.uris import redact_credentials


@pytest.mark.parametrize(("text", "redacted"), [
    ("https://host/x.csv?X-Amz-Signature=abc/d%2F", "https://host/x.csv?***"),
    ("HTTPS://host/x.zip?sig=a#sha256=b", "HTTPS://host/x.zip?***#sha256=b"),
    ("'https://host/x?sig=a' is gone: 403, url='http://b/?sig=c'",
     "'https://host/x?***' is gone: 403, url='http://b/?***'"),
    ("http://token@host:80/a/b", "http://***@host:80/a/b"),
    ("postgresql://me:secret@host/mlflow", "postgresql://me:***@host/mlflow"),
    ("postgresql://:secret@host/mlflow", "postgresql://:***@host/mlflow"),
    ("http://me:secret:more@host", "http://***@host"),
    ("http://me:p@secret@host", "http://***@host"),
    ("postgresql://host/mlflow?user=me&password=secret&sslmode=require",
     "postgresql://host/mlflow?user=me&password=***&sslmode=require"),
])  # fmt: skip
def test_passwords_and_signatures_are_hidden(text: str, redacted: str) -> None:
    assert redact_credentials(text) == redacted


@pytest.mark.parametrize("text", [
    "from http://host:80/a to me@host", "/in/what?.csv", "models:/heart-disease-model@champion",
    "sqlite:////data/mlflow.db", "http://host:5000/path", "file:///mlruns", "databricks",
])  # fmt: skip
def test_what_holds_no_secret_is_shown_as_it_is(text: str) -> None:
    assert redact_credentials(text) == text
