"""The commands of docs/privacy.md erase what the page says, and what goes on goes on."""

import re
from pathlib import Path

import pandas as pd

from clinical.schema import FEATURE_NAMES
from tests import pages
from tests.conftest import ROOT
from tests.e2e.clones import Clone

QUICK = "logistic_regression"


def with_rows(clone: Clone) -> set[str]:
    """Return the artifacts below the clone, by the ends of their paths, that hold patients."""
    found = set()
    for path in (clone.path / "mlruns").rglob("*"):
        columns = set(pd.read_parquet(path).columns) if path.suffix == ".parquet" else set()
        if (
            columns >= set(FEATURE_NAMES)
            or "row_hash" in columns
            or path.suffix in (".csv", ".data")
        ):
            found.add("/".join(path.parts[-2:]))
    return found


def test_the_rows_of_patients_are_where_the_page_says_and_are_erased(
    clone: Clone, data_dir: Path
) -> None:
    source = clone.path / "heart.csv"
    source.write_bytes((data_dir / "kaggle_heart_303.csv").read_bytes())
    clone.step("main", source=source, model=QUICK).succeeded()
    clone.step("train", data=source, model=QUICK, C=2).succeeded()
    listed = re.findall(r"\| `(\w+/.*?)` \|", (ROOT / "docs" / "privacy.md").read_text())
    assert with_rows(clone) == {name.replace("<file>", source.name) for name in listed}

    steps = ("download", "preprocess", "train")
    holding = [run.info.run_id for step in steps for run in clone.runs(step)]
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
