"""Pages that stand alone."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment

from risk_model.card.rendering import environment


@cache
def _environment() -> Environment:
    return environment(Path(__file__).with_name("templates"))


def render(name: str, **values: object) -> str:
    """Return a page: HTML without a script and without a reference to anything outside of it."""
    return _environment().get_template(name).render(level=2, **values)
