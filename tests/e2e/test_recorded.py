"""The code of now does what was recorded of release 0.1, but for what is listed here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.recorded.compare import Difference, differences, is_allowed
from tests.recorded.record import PARTS
from tests.recorded.store import ARCHIVE

RECORDED = ARCHIVE.parent
TOLERANCE: dict[str, dict[str, float]] = {
    "figures": {"relative": 1e-12},
    # The service's answers are rounded to six digits.
    "service": {"absolute": 1.1e-6},
    "answers": {"absolute": 1.1e-6},
}
PAGES = "The cross-validated figures lead; pages and card were written anew."
MORE = "Measured besides: observed / expected, risk bands and case mix of each cohort."
GROUPS = "The groups are on the page of `evaluate`, and in no picture of their own."
ALLOWED: tuple[tuple[str, str], ...] = (
    ("figures/main/params/cache", "A flag is logged as MLflow logs it for a launched step: true."),
    ("figures/*/observed_expected*", MORE),
    ("figures/*_observed_expected*", MORE),
    ("figures/evaluate/account/cohorts/*/risk_bands", MORE),
    ("figures/evaluate/account/cohorts/*/case_mix", MORE),
    ("figures/evaluate/account/cohorts/*/notes", PAGES),
    ("figures/evaluate/artifacts", GROUPS),
    ("figures/evaluate/tags/heart.outputs", GROUPS),
    ("registry/*/versions/*/description", PAGES),
    ("commands/*/stderr", PAGES),
    ("service/routes/GET /model/body/text", PAGES),
    (
        "service/routes/GET /model/body/numbers",
        "The card rounds to two decimals what it shows first.",
    ),
    ("service/routes/GET /model/card.md/body", PAGES),
)
"""Places where a difference is meant, such as ``service/routes/GET /model/*``, and why.

The changelog says the same. An entry that nothing differs at any more is an error.
"""


@pytest.fixture(scope="module")
def found(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Difference]:
    """Record the code of now, which takes minutes, and return what is otherwise than recorded."""
    output = tmp_path_factory.mktemp("recorded")
    words = [sys.executable, "-m", "tests.recorded.record", output, "--project", pristine]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    return [
        difference
        for part in PARTS
        for difference in differences(
            read(RECORDED / f"{part}.json"),
            read(output / f"{part}.json"),
            part,
            **TOLERANCE.get(part, {}),
        )
    ]


def read(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.mark.parametrize("part", PARTS)
def test_nothing_differs_but_what_is_meant(found: list[Difference], part: str) -> None:
    surprising = [
        str(difference)
        for difference in found
        if difference.place.partition("/")[0] == part
        and not any(is_allowed(difference, pattern) for pattern, _ in ALLOWED)
    ]
    assert not surprising, f"{len(surprising)} differences:\n" + "\n".join(surprising[:100])


def test_whatever_is_meant_to_differ_does(found: list[Difference]) -> None:
    stale = [
        pattern
        for pattern, _ in ALLOWED
        if not any(is_allowed(difference, pattern) for difference in found)
    ]
    assert not stale
