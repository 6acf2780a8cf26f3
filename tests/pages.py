"""The commands in README.md and docs/, in the order in which a reader meets them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
MARKED = re.compile(r"<!-- ([\w .,:;-]+) -->\n```\w+\n(.*?)```", re.DOTALL)
"""A block of commands that needs more than a clone: a marker says who tries it."""
BY_HAND = "by hand"
"""How the marker begins of a block that no test runs; it goes on with the reason."""


def pages() -> list[Path]:
    """Return the README and the pages of docs/, in the order of its index."""
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    trees = re.findall(r"```{toctree}\n(.*?)```", index, re.DOTALL)
    names = [line for tree in trees for line in tree.splitlines() if re.fullmatch(r"[\w/-]+", line)]
    return [ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in names)]


def text() -> str:
    """Return all pages, one after the other."""
    return "\n".join(page.read_text(encoding="utf-8") for page in pages())


def markers() -> list[str]:
    """Return the markers of all marked blocks."""
    return [marker for marker, _ in MARKED.findall(text())]


def blocks(marker: str) -> list[str]:
    """Return the blocks of commands under a marker."""
    return [block for found, block in MARKED.findall(text()) if found == marker]


def unmarked(language: str) -> list[str]:
    """Return the blocks of a language that anybody can run in a clone."""
    return re.findall(rf"```{language}\n(.*?)```", MARKED.sub("", text()), re.DOTALL)


def commands() -> list[str]:
    """Return the commands that anybody can run in a clone, each once."""
    lines = (line.partition("  #")[0].strip() for block in unmarked("bash")
             for line in block.splitlines())  # fmt: skip
    return list(dict.fromkeys(line for line in lines if line))
