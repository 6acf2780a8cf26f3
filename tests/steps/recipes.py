"""Unfitted models for tests."""

from __future__ import annotations

from typing import Any

from steps.modelling import estimators
from steps.modelling.estimators import Recipe


def build(**values: Any) -> Recipe:
    """Return the unfitted model of train's defaults, but for some parameters."""
    return estimators.from_recorded(values)


def small(model: str = "random_forest", calibration: str = "none", seed: int = 1) -> Recipe:
    """Return an unfitted model of 15 trees, if any."""
    return build(model=model, n_estimators=15, max_depth=4, calibration=calibration,
                 random_state=seed)  # fmt: skip
