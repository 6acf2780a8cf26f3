"""Which word is used for a probability."""

import numpy as np
import pytest

from risk_model.bands import RISK_BANDS, risk_level, risk_levels


@pytest.mark.parametrize(
    ("probability", "level"),
    [(-1e-9, "Low"), (0.0, "Low"), (0.2999, "Low"), (0.3, "Moderate"), (0.6999, "Moderate"),
     (0.7, "High"), (1.0, "High"), (1.0000001, "High")],
)  # fmt: skip
def test_a_band_begins_at_its_start(probability: float, level: str) -> None:
    assert risk_level(RISK_BANDS, probability) == level
    (place,) = risk_levels(RISK_BANDS, np.array([probability]))
    assert RISK_BANDS[place][0] == level
