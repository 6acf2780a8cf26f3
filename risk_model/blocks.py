"""What a text is made of, before it is a page or a file: sentences, lists and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A table with a line of text that says what it shows."""

    about: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Points:
    """A list of sentences."""

    items: Sequence[str]


Block = str | Table | Points


def as_markdown(block: Block) -> str:
    """Return a block as Markdown."""
    if isinstance(block, Points):
        return "\n".join(f"- {item}" for item in block.items)
    if isinstance(block, Table):
        lines = [block.head, ["---"] * len(block.head), *block.rows]
        return "\n".join([block.about, "", *(f"| {' | '.join(line)} |" for line in lines)])
    return block
