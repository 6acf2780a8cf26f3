"""The form as a person filled it in: what was typed, and what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

from clinical.schema import FEATURES, Feature
from serving.predictions.schemas import Values

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Typed:
    """One field of the form as it was typed.

    Parameters
    ----------
    feature : Feature
    text : str
    error : str
        What is wrong with it; empty where nothing is.
    """

    feature: Feature
    text: str = ""
    error: str = ""

    @property
    def hint(self) -> str:
        """The range in words, as the form shows it."""
        return _range(self.feature)


def _range(feature: Feature) -> str:
    return f"{feature.low:g} to {feature.high:g} {feature.unit}".rstrip()


def read_form(form: Mapping[str, str]) -> tuple[list[Typed], Values]:
    """Read what was typed.

    Returns
    -------
    typed : list of Typed
        The 13 fields in the order of FEATURES, with their errors.
    values : list of float or None
        Their values; None where one is unknown, or cannot be used.
    """
    typed, values = [], []
    for feature in FEATURES:
        text = form.get(feature.name, "").strip()
        value, error = _read_field(feature, text)
        typed.append(Typed(feature, text, error))
        values.append(value)
    return typed, values


def _read_field(feature: Feature, text: str) -> tuple[float | None, str]:
    if text == UNKNOWN or not text:
        if feature.nullable and (text or not feature.codes):
            return None, ""
        return (
            None,
            "Please choose one." if feature.codes else f"Please fill this in: {_range(feature)}.",
        )
    value = _number(text)
    if not feature.accepts(value):
        wanted = "one of the list" if feature.codes else f"a number from {_range(feature)}"
        return None, f"This must be {wanted}."
    return value, ""


def _number(text: str) -> float:
    """Return the number that a person typed, with a point or a comma; NaN where it is none."""
    # Python, unlike anybody else, reads 0_5 as 5.
    if len(text) > 40 or "_" in text:
        return math.nan
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return math.nan


def grouped(typed: list[Typed]) -> list[tuple[str, list[Typed]]]:
    """Return the fields under their headings."""
    order = list(dict.fromkeys(feature.group for feature in FEATURES))
    ordered = sorted(typed, key=lambda field: order.index(field.feature.group))
    return [(name, list(fields)) for name, fields in groupby(ordered, lambda f: f.feature.group)]
