"""The champions of a registered model, as one of its tags keeps them."""

import json
import re
from itertools import groupby

LENGTH = 100  # champions; a tag of Unity Catalog holds 1,000 characters


def write(versions: list[str]) -> str:
    """Return the tag for champions, the present one last; of more than LENGTH, the newest."""
    return ", ".join([version for version, _ in groupby(versions)][-LENGTH:])


def read(text: str) -> list[str]:
    """Return the champions in the tag; until release 0.2 it was a log, as JSON."""
    if not text.startswith("["):
        return re.findall(r"\d+", text)
    stack: list[str] = []
    for entry in json.loads(text):
        if entry["by"] == "rollback":
            while stack and stack[-1] != entry["version"]:
                stack.pop()
        if not stack or stack[-1] != entry["version"]:
            stack.append(entry["version"])
    return stack
