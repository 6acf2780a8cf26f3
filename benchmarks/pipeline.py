"""Time ``main`` against its steps in one process, and the logging of a model against the default.

Run as ``python -m benchmarks.pipeline``; it takes about five minutes and writes docs/benchmarks.md.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from benchmarks.arguments import arguments
from benchmarks.pasting import paste

ROOT = Path(__file__).parents[1]
ROUNDS = 3

ONE_PROCESS = """
from steps import download, preprocess, register, train
for step, words in (
    (download, ["--source=sample"]),
    (preprocess, []),
    (train, []),
    (register, []),
):
    assert step.main(words) == 0
"""


def timed(words: list[str], folder: Path) -> float:
    """Return how many seconds a command takes in the folder of a clone."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    env |= {"XDG_CACHE_HOME": str(folder / ".cache"), "MLFLOW_DISABLE_TELEMETRY": "true"}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    start = time.perf_counter()
    subprocess.run(words, cwd=folder, env=env, check=True, capture_output=True)
    return time.perf_counter() - start


def flows(folder: Path) -> list[str]:
    """Return the rows about main, in turn with the same steps in one process."""
    subprocess.run(["git", "clone", "-q", ROOT, folder], check=True)
    main = ["mlflow", "run", ".", "-e", "main", "--env-manager", "local", "-P", "source=sample"]
    timed(main, folder)  # warms the caches and makes the database
    single, anew, reused = [], [], []
    for _ in range(ROUNDS):
        single.append(timed([sys.executable, "-c", ONE_PROCESS], folder))
        anew.append(timed([*main, "-P", "cache=false"], folder))
        reused.append(timed(main, folder))
    one, new, again = map(statistics.median, (single, anew, reused))
    return [
        row("`main`, nothing reused, against its steps in one process", new, one, 3),
        row("`main`, everything reused, against nothing reused", again, new, 0.4),
    ]


def row(what: str, ours: float, against: float, target: float) -> str:
    """Return a row of the table."""
    return f"| {what} | {ours:.1f} s | {against:.1f} s | {ours / against:.2f} | at most {target} |"


def logging(folder: Path) -> list[str]:
    """Return the row about logging a model, in turn with MLflow's defaults."""
    import mlflow

    from clinical import cohort, preparation
    from risk_model.flavours import saving
    from risk_model.metadata import Metadata
    from risk_model.serialization import REVIEWED_TYPES
    from steps.modelling import estimators, onnx_export, references
    from steps.parameters.declaration import select
    from steps.parameters.entry_points import Train
    from steps.runs.files import ROOT

    path = folder / "sample.data"
    cohort.write_uci(cohort.draw(303, 42), path)
    x, y = estimators.columns(preparation.prepare(path, path.name).frame)
    model = estimators.from_parameters(select(Train, {}, calibration="none")).fit(x, y)
    contents = saving.Contents(
        model, onnx_export.convert(model, x), Metadata(), references.reference_cases(model, x)
    )
    pins = (ROOT / "requirements.txt").read_text()
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.create_experiment("benchmark", artifact_location=str(folder / "artifacts"))
    mlflow.set_experiment("benchmark")

    def ours() -> None:
        saving.log("random_forest_model", contents, pins, {})

    def default() -> None:
        mlflow.sklearn.log_model(
            model,
            name="model",
            input_example=x.head(1),
            skops_trusted_types=list(REVIEWED_TYPES),
        )

    times: dict[Callable[[], None], list[float]] = {ours: [], default: []}
    for turn in range(ROUNDS + 1):
        for log, seconds in times.items():
            with mlflow.start_run(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                start = time.perf_counter()
                log()
                if turn:  # the first turn warms up
                    seconds.append(time.perf_counter() - start)
    mine, theirs = (statistics.median(times[log]) for log in (ours, default))
    return [
        row("logging a model, against `mlflow.sklearn.log_model` by default", mine, theirs, 0.33)
    ]


def main() -> None:
    """Measure, print and paste."""
    arguments(__doc__)
    with tempfile.TemporaryDirectory() as name:
        rows = flows(Path(name) / "heart") + logging(Path(name))
    head = [
        "## Pipeline",
        "",
        f"Sample data, warm environment, medians of {ROUNDS} rounds that take turns.",
        "",
        "| what | ours | against | ratio | target |",
        "|---|---|---|---|---|",
    ]
    paste("pipeline", "python -m benchmarks.pipeline", "\n".join(head + rows))


if __name__ == "__main__":
    main()
