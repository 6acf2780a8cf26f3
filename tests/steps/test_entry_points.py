"""What every entry point answers at once, by hand."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from steps.parameters.entry_points import ENTRY_POINTS
from steps.runs.files import ROOT


@pytest.mark.parametrize("step", ENTRY_POINTS)
@pytest.mark.parametrize(("word", "code"), [("--help", 0), ("--no_such_parameter=1", 2)])
def test_help_and_a_refusal_take_less_than_a_second_of_the_processor(
    step: str, word: str, code: int
) -> None:
    command = [sys.executable, "-m", f"steps.{step}", word]
    subprocess.run(command, cwd=ROOT, check=False, capture_output=True)  # compiles the modules
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == code
    assert usage.ru_utime + usage.ru_stime < 1
