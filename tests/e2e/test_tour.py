"""The notebook of the tour runs from top to bottom, where main has run."""

from __future__ import annotations

import json

from tests.conftest import ROOT
from tests.e2e.conftest import Clone

EXECUTE = """
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read("docs/tour.ipynb", as_version=4)
NotebookClient(notebook, timeout=900, resources={"metadata": {"path": "."}}).execute()
nbformat.write(notebook, "tour-executed.ipynb")
"""


def test_the_tour_shows_probabilities_card_and_runs(cleveland: Clone) -> None:
    cleveland.run("python", "-c", EXECUTE).succeeded()
    cells = json.loads((cleveland.path / "tour-executed.ipynb").read_text())["cells"]
    shown = {cell["id"]: json.dumps(cell.get("outputs")) for cell in cells}
    assert "probability" in shown["score"]
    assert "risk_level" in shown["score"]
    assert "Not for clinical use" in shown["card"] or "What it is not for" in shown["card"]
    assert "FINISHED" in shown["runs"]
    assert "roc_auc" in shown["figures"]


def test_the_notebook_is_committed_without_outputs() -> None:
    cells = json.loads((ROOT / "docs" / "tour.ipynb").read_text())["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
