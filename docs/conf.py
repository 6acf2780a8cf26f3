"""How Sphinx builds these pages: ``make docs``."""

import os
import sys
import tomllib
from pathlib import Path
from types import GenericAlias
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
# The reference imports every module; no import may write to anybody's tracking store.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

project = "Heart-disease risk on MLflow"
release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "none"  # the signatures of annotated code are long; the source shows them
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "pydata_sphinx_theme"
html_title = project
html_copy_source = False
html_theme_options = {"show_prev_next": False, "secondary_sidebar_items": ["page-toc"]}


def skip_member(
    _app: Any, _what: str, _name: str, member: Any, _skip: bool, _options: Any
) -> bool | None:
    """Return True for what is no text of ours: aliases of types, methods that libraries add."""
    added = str(getattr(member, "__module__", "")).startswith("sklearn.")
    return True if added or isinstance(member, GenericAlias) else None


def setup(app: Any) -> None:
    """Register the above with Sphinx."""
    app.connect("autodoc-skip-member", skip_member)
