"""Putting a benchmark's figures into docs/benchmarks.md, with machine and versions."""

import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
PACKAGES = ("mlflow", "scikit-learn", "pandas", "onnxruntime", "flask", "gunicorn")


def machine() -> str:
    """Return what the figures were measured on, in one sentence."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    kind = cpu[1] if cpu else platform.machine()
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores ({kind}), "
        f"Python {platform.python_version()}, {versions}."
    )


def paste(section: str, command: str, text: str, path: Path = PAGE) -> None:
    """Replace a section of a page, which is made where it does not exist; print it too."""
    print(text)
    start, end = f"<!-- {section} -->", f"<!-- /{section} -->"
    block = f"{start}\n{text.strip()}\n\n{machine()}\nMade by `{command}`.\n{end}"
    page = path.read_text() if path.exists() else "# Benchmarks\n"
    if start in page:
        page = re.sub(f"{re.escape(start)}.*?{re.escape(end)}", lambda _: block, page, flags=re.S)
    else:
        page = f"{page.rstrip()}\n\n{block}\n"
    path.write_text(page)
