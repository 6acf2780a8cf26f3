"""What every entry point answers at once, by hand."""

from __future__ import annotations

import compileall
import os
import subprocess
import sys

import pytest

from steps import serve
from steps.parameters.entry_points import ENTRY_POINTS
from steps.runs.files import ROOT


@pytest.fixture(scope="module")
def compiled() -> None:
    """Compile the modules, as the first command that is run does."""
    for package in ("clinical", "risk_model", "steps"):
        compileall.compile_dir(ROOT / package, quiet=1)


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("step", ENTRY_POINTS)
@pytest.mark.parametrize(("word", "code"), [("--help", 0), ("--no_such_parameter=1", 2)])
def test_help_and_a_refusal_take_less_than_a_second_of_the_processor(
    step: str, word: str, code: int
) -> None:
    command = [sys.executable, "-m", f"steps.{step}", word]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == code
    assert usage.ru_utime + usage.ru_stime < 1


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
