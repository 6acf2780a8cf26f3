"""The commands of docs/privacy.md erase what the page says, and what goes on goes on."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from clinical.schema import FEATURE_NAMES
from tests import pages
from tests.e2e.conftest import Clone

PAGE = Path("docs/privacy.md").read_text()
QUICK = "logistic_regression"


def with_rows(clone: Clone) -> set[str]:
    """Return the artifacts below the clone, by the ends of their paths, that hold patients."""
    found = set()
    for path in (clone.path / "mlruns").rglob("*"):
        if path.suffix == ".parquet":
            columns = set(pd.read_parquet(path).columns)
            if columns >= set(FEATURE_NAMES) or "row_hash" in columns:
                found.add("/".join(path.parts[-2:]))
        elif path.suffix in (".csv", ".data"):
            found.add("/".join(path.parts[-2:]))
    return found


def test_the_rows_of_patients_are_where_the_page_says_and_are_erased(
    make_clone: Callable[[], Clone], data_dir: Path
) -> None:
    clone = make_clone()
    source = clone.path / "heart.csv"
    source.write_bytes((data_dir / "kaggle_heart_303.csv").read_bytes())
    clone.launch("main", source=source, model=QUICK).succeeded()
    clone.step("train", data=source, model=QUICK, C=2).succeeded()
    listed = {
        name.replace("<file>", source.name) for name in re.findall(r"\| `(\w+/.*?)` \|", PAGE)
    }
    assert with_rows(clone) == listed

    holding = [
        run.info.run_id for step in ("download", "preprocess", "train") for run in clone.runs(step)
    ]
    assert len(holding) == 4
    delete, collect, erase = pages.blocks("erase runs")
    lines = [delete.replace("<run id>", run_id) for run_id in holding]
    for line in (*lines, collect.replace("<run id>", ",".join(holding))):
        clone.run("bash", "-ec", line, MLFLOW_TRACKING_URI=clone.uri).succeeded()
    clone.run("bash", "-ec", erase).succeeded()
    assert with_rows(clone) == set()
    assert not (clone.path / "data").exists()

    # The champion is served, scored and explained as ever; nobody can tell whom it has seen.
    model = "models:/heart-disease-model/1"
    clone.step("score", input=source, output="scored.parquet", model_uri=model).succeeded()
    done = clone.step("evaluate", data=source, model_uri=model).failed()
    assert "does not say which patients" in done.output
    clone.step("train", data=source, model=QUICK, C=3).succeeded()
    done = clone.step("register").succeeded()
    assert "rejected, broken: at least 30 patients" in done.output
