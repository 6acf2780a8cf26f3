"""What is otherwise than was recorded."""

import difflib
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

AT_LEAST = ("numbers", "links", "fields")
"""Of a page, what was there must still be there, whatever else is."""


class Difference(NamedTuple):
    """A place in the record, and what was recorded and found there."""

    place: str
    recorded: Any
    found: Any

    def __str__(self) -> str:
        if _is_text(self.recorded) and _is_text(self.found):
            lines = difflib.unified_diff(self.recorded, self.found, "recorded", "found", n=0)
            return "\n    ".join([self.place, *(line.rstrip("\n") for line in lines)])
        shown = (
            repr(value) if len(repr(value)) < 400 else f"{value!r:.400}..."
            for value in (self.recorded, self.found)
        )
        return "{}\n    recorded: {}\n    found:    {}".format(self.place, *shown)


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


NOTHING = _Nothing()


def differences(
    recorded: Any, found: Any, place: str, *, relative: float = 0, absolute: float = 0
) -> Iterator[Difference]:
    """Yield what differs, numbers by more than the tolerances."""
    tolerance = {"relative": relative, "absolute": absolute}
    if isinstance(recorded, dict) and isinstance(found, dict):
        for name in [*recorded, *(new for new in found if new not in recorded)]:
            old, new = recorded.get(name, NOTHING), found.get(name, NOTHING)
            if name in AT_LEAST and not missing(old, new):
                continue
            yield from differences(old, new, f"{place}/{name}", **tolerance)
    elif _are_rows(recorded, found):
        for number, (old, new) in enumerate(zip(recorded, found, strict=True)):
            yield from differences(old, new, f"{place}/{number}", **tolerance)
    elif _is_number(recorded) and _is_number(found):
        if not math.isclose(recorded, found, rel_tol=relative, abs_tol=absolute):
            yield Difference(place, recorded, found)
    elif recorded != found:
        yield Difference(place, recorded, found)


def missing(recorded: Any, found: Any) -> bool:
    """Return whether something that a page had is gone."""
    if isinstance(recorded, dict) and isinstance(found, dict):
        return any(missing(values, found.get(name)) for name, values in recorded.items())
    both = isinstance(recorded, list) and isinstance(found, list)
    return not both or not set(recorded) <= set(found)


def _are_rows(recorded: Any, found: Any) -> bool:
    both = isinstance(recorded, list) and isinstance(found, list)
    return both and len(recorded) == len(found) and not _is_text(recorded)


def _is_text(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
