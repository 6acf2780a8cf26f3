"""The code of now does what was recorded.

Recorded first of release 0.1, and anew when what it records was changed on purpose: the
probabilities of patients with unknown findings; intervals, `cv_` in the names of figures, and
`refit_range`. Until then nothing differed but what the changelog says.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.recorded import record
from tests.recorded.compare import differences
from tests.recorded.record import PARTS

RECORDED = Path(record.__file__).parent
TOLERANCE: dict[str, dict[str, float]] = {
    "figures": {"relative": 1e-12},
    # The service's answers are rounded to six digits.
    "service": {"absolute": 1.1e-6},
    "answers": {"absolute": 1.1e-6},
}


@pytest.fixture(scope="module")
def found(pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Record the code of now, which takes minutes, and return the folder of the record."""
    output = tmp_path_factory.mktemp("recorded")
    words = [sys.executable, "-m", "tests.recorded.record", output, "--project", pristine]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    return output


@pytest.mark.parametrize("part", PARTS)
def test_nothing_differs(found: Path, part: str) -> None:
    old, new = (json.loads((at / f"{part}.json").read_text()) for at in (RECORDED, found))
    surprising = list(map(str, differences(old, new, part, **TOLERANCE.get(part, {}))))
    assert not surprising, f"{len(surprising)} differences:\n" + "\n".join(surprising[:100])
