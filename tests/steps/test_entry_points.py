"""What every entry point answers at once, by hand."""

import os
import subprocess
import sys

import pytest

from steps import serve
from steps.parameters.entry_points import ENTRY_POINTS
from steps.runs.files import ROOT


@pytest.mark.parametrize("step", ENTRY_POINTS)
@pytest.mark.parametrize(("word", "code"), [("--help", 0), ("--no_such_parameter=1", 2)])
def test_help_and_a_refusal_wait_for_no_library_to_load(step: str, word: str, code: int) -> None:
    command = [sys.executable, "-X", "importtime", "-m", f"steps.{step}", word]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "steps.parameters.entry_points" in loaded
    assert not loaded & {"mlflow", "numpy", "requests", "sqlalchemy", "distributed", "onnxruntime"}


@pytest.mark.parametrize(("words", "setting", "port"), [
    ([], "", "8000"),
    (["--port=8000"], "9000", "9000"),  # as `mlflow run` passes what nobody asked for
    (["--port=9001"], "9000", "9001"),
])  # fmt: skip
def test_the_settings_of_the_service_count_where_a_parameter_has_its_default(
    monkeypatch: pytest.MonkeyPatch, words: list[str], setting: str, port: str
) -> None:
    started: list[object] = []
    monkeypatch.setattr(os, "execv", lambda *how: started.append(how))
    monkeypatch.setattr(sys, "argv", ["serve", *words])
    monkeypatch.setenv("HEART_PORT", setting)
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    serve.main()
    assert len(started) == 1
    assert os.environ["HEART_PORT"] == port
    assert os.environ["HEART_WORKERS"] == "2"
    assert "MLFLOW_RUN_ID" not in os.environ
