"""What a model's consumers may send: the features as plain values, and the check of rows."""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from clinical.schema import FEATURES
from risk_model.flavours import python_function


@cache
def features() -> tuple[dict[str, Any], ...]:
    """Return the features as plain JSON values, as they travel with a model."""
    return tuple(
        {
            "name": feature.name,
            "low": feature.low,
            "high": feature.high,
            "codes": list(feature.codes),
            "nullable": feature.nullable,
            "allowed": feature.allowed.removesuffix(", or null where it is unknown"),
        }
        for feature in FEATURES
    )


def refusal(rows: npt.NDArray[np.floating[Any]]) -> str:
    """Return why rows of 13 values cannot be scored, in one line; empty where they can."""
    return python_function.refusal(rows, features())


def described() -> str:
    """Return a description of the inputs and outputs: MLflow's pages show no input columns."""
    required = ", ".join(feature.name for feature in FEATURES if not feature.nullable)
    optional = ", ".join(feature.name for feature in FEATURES if feature.nullable)
    return (
        f"Input: one row for each patient with the columns {required}, and {optional}, which may "
        "be unknown or missing; codes and ranges as docs/schema.md has them, and nothing else is "
        "scored. Output: probability (of disease), prediction (1 disease, 0 none), risk_level."
    )
