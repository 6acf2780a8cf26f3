"""The model card as files that are stored with a model: Markdown, and a page that stands alone."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from risk_model import card
from risk_model.blocks import Block, Points, Table
from steps.reports import pages


def write(folder: Path, facts: Mapping[str, Any]) -> list[Path]:
    """Write the model card in both its forms, and return the files."""
    texts = {"card.md": card.as_markdown(facts), "card.html": as_html(facts)}
    for name, text in texts.items():
        (folder / name).write_text(text)
    return [folder / name for name in texts]


def as_html(facts: Mapping[str, Any]) -> str:
    """Return the card as one self-contained page."""
    title = card.title(facts)
    parts = [f"<h1>{escape(title)}</h1>\n"]
    for heading, blocks in card.sections(facts).items():
        parts += [f"<h2>{escape(heading)}</h2>\n", *map(block_html, blocks)]
    return pages.page(title, "".join(parts))


def block_html(block: Block) -> str:
    """Return a block as HTML."""
    if isinstance(block, Points):
        return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in block.items) + "</ul>\n"
    if isinstance(block, Table):
        rows = [[escape(cell) for cell in row] for row in block.rows]
        table = pages.table([escape(cell) for cell in block.head], rows)
        return (
            f'<p class="soft">{escape(block.about)}</p>\n<div class="wide figures">{table}</div>\n'
        )
    return f"<p>{escape(block)}</p>\n"
