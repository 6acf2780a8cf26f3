"""The form as it was filled in: the texts, and their errors."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from clinical.numbers import read_float
from clinical.schema import FEATURES, Feature
from serving.predictions.schemas import Values

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Typed:
    """One field of the form: its text, and its error, if any."""

    feature: Feature
    text: str = ""
    error: str = ""

    @property
    def hint(self) -> str:
        """What the form adds to the title: the feature's hint, and the range of a measurement."""
        bounds = "" if self.feature.codes else _range(self.feature)
        return ", ".join(filter(None, (self.feature.hint, bounds)))


def _range(feature: Feature) -> str:
    return f"{feature.low:g} to {feature.high:g}".replace("-", "\N{MINUS SIGN}")


def read_form(form: Mapping[str, str]) -> tuple[list[Typed], Values]:
    """Return the 13 fields as they were typed, and their values: None if unknown or unusable."""
    typed, values = [], []
    for feature in FEATURES:
        text = form.get(feature.name, "").strip()
        value, error = _read_field(feature, text)
        typed.append(Typed(feature, text, error))
        values.append(value)
    return typed, values


def _read_field(feature: Feature, text: str) -> tuple[float | None, str]:
    if feature.nullable and text in ("", UNKNOWN):
        return None, ""
    with contextlib.suppress(ValueError):
        value = read_float(text.replace(",", "."))  # either is typed before decimals
        if feature.accepts(value):
            return value, ""
    return None, "Choose one" if feature.codes else f"Must be a number, {_range(feature)}"


def in_columns(typed: list[Typed]) -> list[list[tuple[str, list[Typed]]]]:
    """Return the fields under their headings, in two columns of which the first is the longer."""
    groups: dict[str, list[Typed]] = {}
    for field in typed:
        groups.setdefault(field.feature.group, []).append(field)
    columns: list[list[tuple[str, list[Typed]]]] = [[], []]
    for group in groups.items():
        first = sum(len(fields) for _, fields in columns[0])
        columns[2 * first > len(typed)].append(group)
    return columns
