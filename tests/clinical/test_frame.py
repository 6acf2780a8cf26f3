from __future__ import annotations

import numpy as np

from clinical.frame import unknown_cells
from tests.clinical.patient_files import EXAMPLE, frame_of


def test_what_must_be_known_and_is_not_is_marked_by_column() -> None:
    lacking = [{"age": None, "cp": None}, {"age": None}, {"ca": None, "thal": None}, {}, {}]
    frame = frame_of([EXAMPLE | cells for cells in lacking])
    frame["disease"] = [1, 0, 1, np.nan, 0]
    rows = {name: np.flatnonzero(mask).tolist() for name, mask in unknown_cells(frame).items()}
    assert rows == {"age": [0, 1], "cp": [0], "disease": [3]}
