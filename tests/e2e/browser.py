"""A real Chromium, and what is asked of every page in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import program

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
VIEWS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]
"""Desktop and phone, in both schemes of colour."""


@contextmanager
def chromium() -> Iterator[Any]:
    path = program("chromium", "chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=FLAGS, timeout=120_000)
        yield opened
        opened.close()


def violations(page: Any) -> list[str]:
    """Return what axe-core finds; it is put in by the debugger, which the page's CSP lets pass."""
    import axe_core_python

    source = next(Path(axe_core_python.__file__).parent.rglob("axe.min.js")).read_text()
    session = page.context.new_cdp_session(page)
    session.send("Runtime.evaluate", {"expression": source})
    found = page.evaluate("() => axe.run().then(result => result.violations)")
    return [f"{v['id']}: {[node['html'] for node in v['nodes']][:3]}" for v in found]


def fits(page: Any) -> bool:
    """Tell whether a page is no wider than its window."""
    return bool(page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth"))
