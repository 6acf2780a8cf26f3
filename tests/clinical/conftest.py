"""The patients of the UCI archive."""

from pathlib import Path

import pandas as pd
import pytest

from clinical.archive import open_source
from clinical.patients import read_patients


@pytest.fixture(scope="session")
def members(uci_zip: Path) -> dict[str, Path | bytes]:
    return open_source(uci_zip)


@pytest.fixture(scope="session")
def cleveland(members: dict[str, Path | bytes]) -> pd.DataFrame:
    return read_patients(members["processed.cleveland.data"], "cleveland").frame
