"""Pages that stand alone."""

from pathlib import Path

from risk_model.card.rendering import environment

TEMPLATES = Path(__file__).with_name("templates")


def render(name: str, **values: object) -> str:
    """Return a page: HTML without a script and without a reference to anything outside of it."""
    return environment(TEMPLATES).get_template(name).render(level=2, **values)
