"""URIs name the same files here as they do for MLflow, SQLAlchemy and the user."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from risk_model.locations import file_path, sqlite_path


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/data/heart.csv", "/data/heart.csv"),
        ("in/part-?.csv", "in/part-?.csv"),
        ("2:1.csv", "2:1.csv"),
        ("/Schöne Daten/50%20.csv", "/Schöne Daten/50%20.csv"),
        ("file:///Sch%C3%B6ne%20Daten/a.csv", "/Schöne Daten/a.csv"),
        ("file:///Schöne Daten/a.csv", "/Schöne Daten/a.csv"),
        ("file://localhost/data/part-?.csv", "/data/part-?.csv"),
        ("file:/data/a.csv#sha256=0", "/data/a.csv"),
        ("~/heart.csv", str(Path.home() / "heart.csv")),
        ("https://example.org/a.csv", None),
        ("s3://bucket/a", None),
        ("mlflow-artifacts:/0/a", None),
    ],
)
def test_the_path_of_a_file_is_that_of_its_uri(location: str, path: str | None) -> None:
    assert file_path(location) == (None if path is None else Path(path))


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:///mlflow.db", "mlflow.db"),
        ("sqlite:////tmp/a.db", "/tmp/a.db"),
        ("sqlite+pysqlite:///a.db?x=1", "a.db"),
        ("sqlite:////Sch%C3%B6ne%20Daten/mlflow.db", "/Schöne Daten/mlflow.db"),
        ("sqlite:////Schöne Daten/mlflow.db", "/Schöne Daten/mlflow.db"),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("sqlite:mlflow.db", None),
        ("postgresql://h/db", None),
        ("http://h", None),
    ],
)
def test_the_file_of_a_database_is_that_of_its_uri(uri: str, path: str | None) -> None:
    assert sqlite_path(uri) == (None if path is None else Path(path))


def test_the_database_is_where_mlflow_puts_it_by_default(tmp_path: Path) -> None:
    folder = tmp_path / "Schöne Daten #1 & 50 %"
    folder.mkdir()
    program = "import mlflow; mlflow.search_experiments(); print(mlflow.get_tracking_uri())"
    kept = {name: text for name, text in os.environ.items() if not name.startswith("MLFLOW_")}
    uri = subprocess.check_output([sys.executable, "-c", program], cwd=folder, env=kept, text=True)
    assert sqlite_path(uri.strip()) == folder / "mlflow.db"
    assert (folder / "mlflow.db").is_file()
