"""Batch scoring against its limit, bare onnxruntime, and against ``mlflow models predict``.

``python -m benchmarks.scoring`` draws synthetic patients, trains a model on some, and measures, all
in one run on one machine: what a core spends on reading, checking, scoring and writing against
calls of onnxruntime on the same matrix in memory; the commands of both sides from file to file;
one worker process against two, beside what two processes can do here at all; and time and memory
from a thousand to twenty million rows. The figures go to docs/benchmarks.md, the picture to
docs/scoring.png. ``--short`` takes less than a minute, writes nothing, and fails where a ratio is
below half of its target.
"""

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet

from benchmarks.arguments import arguments
from benchmarks.pasting import PAGE, paste
from clinical.cohort import draw, write_uci
from clinical.patients import read_patients
from clinical.schema import FEATURE_NAMES, LABEL

DRAWN = 200_000
MOST_MEMORY = 1.5
PICTURE = PAGE.with_name("scoring.png")
TARGETS = {"csv": 0.85, "parquet": 0.85, "peer": 2.0, "peer at 10,000,000": 4.0, "workers": 0.95}


@dataclass(frozen=True)
class Run:
    """What a command took: seconds, and the highest memory of all its processes in bytes."""

    seconds: float
    memory: float


def make_patients(folder: Path) -> pd.DataFrame:
    """Draw patients in the canonical coding."""
    path = folder / "drawn.data"
    write_uci(draw(DRAWN), path)
    return read_patients(path, path.name).frame


def make_model(folder: Path, patients: pd.DataFrame) -> Path:
    """Train the default model on a few patients, and store it as MLflow does."""
    from risk_model.bands import RISK_BANDS
    from risk_model.flavours import saving
    from risk_model.flavours.saving import Contents
    from risk_model.metadata import FORMAT, Metadata
    from steps.modelling import estimators, onnx_export, references
    from steps.parameters.declaration import check
    from steps.parameters.entry_points import Train
    from steps.runs.files import ROOT

    training = patients.head(300)
    features, y = training[list(FEATURE_NAMES)], training[LABEL.name].to_numpy()
    fitted = estimators.from_parameters(check(Train, {})).fit(features, y)
    known = {"format": FORMAT, "run_id": "0" * 32, "data": {"source": "synthetic"}}
    bands = [{"level": level, "from": start} for level, start in RISK_BANDS]
    contents = Contents(
        fitted,
        onnx_export.convert(fitted, features),
        Metadata.of({**known, "risk_bands": bands}),
        references.reference_cases(fitted, features),
    )
    pins = (ROOT / "requirements.txt").read_text()
    saving.save_model(str(folder / "model"), contents, saving.requirements(pins, onnx_form=True))
    return folder / "model"


def write_rows(patients: pd.DataFrame, rows: int, path: Path) -> Path:
    """Write so many rows: the drawn ones, again and again.

    Text has ``63.0`` for 63, since MLflow's signature refuses whole numbers for fractions.
    """
    features = patients[list(FEATURE_NAMES)]
    counts = [min(DRAWN, rows - start) for start in range(0, rows, DRAWN)]
    if path.suffix == ".csv":
        lines = features.to_csv(index=False).encode().splitlines(keepends=True)
        block = b"".join(lines[1:])
        with path.open("wb") as file:
            file.write(lines[0])
            for count in counts:
                file.write(block if count == DRAWN else b"".join(lines[1 : count + 1]))
    else:
        table = pa.Table.from_pandas(features)
        blocks = [table.slice(0, count) for count in counts]
        pyarrow.parquet.write_table(pa.concat_tables(blocks), path)
    return path


def score_file(model: Path, source: Path) -> int:
    """Do all that a worker does to a file, and return its rows."""
    from clinical.codings.definitions import CANONICAL
    from steps.batch.inputs import divide, find
    from steps.batch.scoring import SCHEMA, Scorer

    folder = model.parent  # in which it is called `model`, as a job has it
    (folder / "parts").mkdir(exist_ok=True)
    columns = [name for name in SCHEMA if name != "id"]
    scorer = Scorer(str(folder), "path-model", CANONICAL, columns)
    return sum(scorer.score(part)["rows", "all"] for part in divide(find(str(source))))


def side_by_side(model: Path, source: Path, pool: Executor) -> float:
    """Return how much of a worker's work two processes do in the time in which one does some.

    They share nothing but the machine: more than this no cluster of two workers can reach.
    """

    def seconds(processes: int) -> float:
        started = time.perf_counter()
        list(pool.map(score_file, [model] * processes, [source] * processes))
        return time.perf_counter() - started

    seconds(2)  # loads the model
    return 2 * seconds(1) / seconds(2)


def per_core(model: Path, sources: Sequence[Path], rounds: int) -> dict[str, float]:
    """Return microseconds a row (medians) for all that a worker does, and the limit for them.

    That is what calls of onnxruntime take, many rows at once or all, whichever is faster.
    """
    import onnxruntime

    from risk_model.engines import BATCH_ROWS
    from risk_model.layout import open_folder

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(open_folder(model).read_onnx(), options)
    frame = pd.read_parquet(sources[-1])
    matrix = np.ascontiguousarray(frame.to_numpy(np.float32, na_value=np.nan))

    def bare(size: int) -> int:
        for start in range(0, len(matrix), size):
            session.run(["label", "probabilities"], {"patients": matrix[start : start + size]})
        return len(matrix)

    work: dict[str, Callable[[], int]] = {
        **{source.suffix[1:]: partial(score_file, model, source) for source in sources},
        "in blocks": partial(bare, BATCH_ROWS),
        "at once": partial(bare, len(matrix)),
    }
    taken: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds + 1):
        for name, do in work.items():
            started = time.process_time()
            rows = do()
            taken[name].append((time.process_time() - started) / rows * 1e6)
    micro = {name: float(np.median(times[1:])) for name, times in taken.items()}
    return {**micro, "limit": min(micro["in blocks"], micro["at once"])}


def measure(command: list[str], folder: Path) -> Run:
    """Run a command, and watch the memory of all its processes (proportional set size)."""
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true",
                   "PYTHONPATH": str(Path(__file__).parents[1])}  # fmt: skip
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    started, peak, ended = time.perf_counter(), [0.0], threading.Event()
    log = (folder / "log").open("ab")
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)

    def watch() -> None:
        while not ended.wait(1):
            peak[0] = max(peak[0], _memory(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    seconds = time.perf_counter() - started
    ended.set()
    watcher.join()
    log.close()
    if code:
        raise RuntimeError((folder / "log").read_text()[-2000:])
    return Run(seconds, peak[0])


def _memory(pid: int) -> float:
    total = 0.0
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return total
    for process in family:
        try:
            total += process.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total


class Bench:
    """A folder with a model and patients, and both sides' commands."""

    def __init__(self, folder: Path) -> None:
        os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
        self.folder = folder
        self.patients = make_patients(folder)
        self.model = make_model(folder, self.patients)
        self.count = 0

    def source(self, rows: int, suffix: str = ".csv") -> Path:
        """Return a file of so many patients."""
        path = self.folder / f"{rows}{suffix}"
        return path if path.exists() else write_rows(self.patients, rows, path)

    def ours(self, rows: int, workers: int = 0) -> tuple[Run, dict[str, Any]]:
        """Score a file, and return what it took and the account that the run kept."""
        self.count += 1
        run = measure(
            [sys.executable, "-m", "steps.score", f"--input={self.source(rows)}",
             f"--output={self.folder}/out-{self.count}", f"--model_uri={self.model}",
             f"--workers={workers}"],
            self.folder,
        )  # fmt: skip
        accounts = self.folder.rglob("scoring.json")
        newest = max(accounts, key=lambda path: path.stat().st_mtime)
        return run, json.loads(newest.read_text())

    def peer(self, rows: int) -> Run:
        """Let ``mlflow models predict`` do a file."""
        mlflow = str(Path(sys.executable).with_name("mlflow"))
        return measure(
            [mlflow, "models", "predict", "-m", str(self.model), "-t", "csv", "--env-manager",
             "local", "-i", str(self.source(rows)), "-o", f"{self.folder}/peer-{rows}"],
            self.folder,
        )  # fmt: skip


def ratios_per_core(micro: dict[str, float]) -> dict[str, float]:
    """Return the share of the limit that each kind of input reaches."""
    return {name: micro["limit"] / micro[name] for name in ("csv", "parquet")}


def short() -> int:
    """Check all ratios at half their targets, on few rows."""
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name))
        files = [bench.source(200_000, suffix) for suffix in (".csv", ".parquet")]
        found = ratios_per_core(per_core(bench.model, files, 2))
        bench.ours(1000)
        alone, together = (bench.ours(1_000_000, workers) for workers in (1, 2))
        found["peer"] = bench.peer(1_000_000).seconds / together[0].seconds
        with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
            limit = side_by_side(bench.model, files[0], pool)
        found["workers"] = alone[1]["seconds"] / together[1]["seconds"] / limit
    for what, ratio in found.items():
        print(f"{what:<10} {ratio:.2f}, at least {TARGETS[what] / 2:g}")
    return int(any(ratio < TARGETS[what] / 2 for what, ratio in found.items()))


SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 20_000_000)
PEER_SIZES = (1_000, 100_000, 1_000_000, 10_000_000)


def full() -> int:
    """Measure everything, paste it, and draw the picture."""
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name))
        files = [bench.source(1_000_000, suffix) for suffix in (".csv", ".parquet")]
        micro = per_core(bench.model, files, 3)
        bench.ours(1000)  # makes the database, as the first command in a project does
        ours, peer = {}, {}
        for rows in SIZES:
            ours[rows] = bench.ours(rows)[0]
            if rows in PEER_SIZES:
                peer[rows] = bench.peer(rows)
        workers, limits = [], []
        with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
            for _ in range(3):
                alone, together = (bench.ours(4_000_000, n)[1]["seconds"] for n in (1, 2))
                workers.append(alone / together)
                limits.append(side_by_side(bench.model, files[0], pool))
    start, slope = fitted(ours)
    found = ratios_per_core(micro) | {
        "peer": peer[1_000_000].seconds / ours[1_000_000].seconds,
        "peer at 10,000,000": peer[10_000_000].seconds / ours[10_000_000].seconds,
        "workers": float(np.median(np.divide(workers, limits))),
        "two workers": float(np.median(workers)),
        "side by side": float(np.median(limits)),
    }
    memory = max(run.memory for run in ours.values()) / 1e9
    draw_picture(ours, peer, start, slope)
    text = page(micro, found, ours, peer) + (
        f"\nTime grows as {start:.1f} s + {slope * 1e6:.2f} s for each million rows (least squares "
        "on relative errors).\n\n![Time against rows](scoring.png)\n"
    )
    paste("scoring", "python -m benchmarks.scoring", text)
    return int(
        any(found[what] < target for what, target in TARGETS.items()) or memory > MOST_MEMORY
    )


def fitted(runs: dict[int, Run]) -> tuple[float, float]:
    """Fit seconds = start + slope * rows, each size with the same relative weight."""
    rows = np.array(list(runs), float)
    seconds = np.array([run.seconds for run in runs.values()])
    terms = np.stack([np.ones_like(rows), rows], 1) / seconds[:, np.newaxis]
    start, slope = np.linalg.lstsq(terms, np.ones_like(rows), rcond=None)[0]
    return float(start), float(slope)


def page(
    micro: dict[str, float], found: dict[str, float], ours: dict[int, Run], peer: dict[int, Run]
) -> str:
    """Return the tables."""
    limit, largest = 1 / micro["limit"], max(ours)
    ratios = [
        f"| a core, {title}, against onnxruntime alone | {1 / micro[kind]:.3f} million rows/s "
        f"| {limit:.3f} million rows/s | {found[kind]:.2f} | at least {TARGETS[kind]} |"
        for kind, title in (("csv", "CSV"), ("parquet", "Parquet"))
    ]
    ratios += [
        f"| {rows:,} rows, against `mlflow models predict` | {ours[rows].seconds:.1f} s | "
        f"{peer[rows].seconds:.1f} s | {found[key]:.1f} | at least {TARGETS[key]:g} |"
        for rows, key in ((1_000_000, "peer"), (10_000_000, "peer at 10,000,000"))
    ]
    runs = []
    for rows, run in ours.items():
        other = peer.get(rows)
        beside = f"{other.seconds:.1f} s | {other.memory / 1e9:.2f} GB" if other else "|"
        runs.append(f"| {rows:,} | {run.seconds:.1f} s | {run.memory / 1e9:.2f} GB | {beside} |")
    ratio_lines, run_lines = "\n".join(ratios), "\n".join(runs)
    return f"""## Scoring many patients

Synthetic patients, the default forest, two cores. A core: processor time of everything that a worker does to a million
rows (read, check, score, write) against calls of onnxruntime on the same matrix in memory, medians of 3 rounds that take turns.
The commands: CSV to output, start of Python to its end; memory is the sum over all processes (PSS).

| what | ours | against | ratio | target |
|---|---|---|---|---|
{ratio_lines}
| what two workers gain on 4,000,000 rows, against two processes without a cluster, medians of 3 rounds | {found["two workers"]:.2f} | {found["side by side"]:.2f} | {found["workers"]:.2f} | at least {TARGETS["workers"]} |
| memory of all processes, {largest:,} rows | {ours[largest].memory / 1e9:.2f} GB | | | at most {MOST_MEMORY} GB |

| rows | ours | memory | `mlflow models predict` | memory |
|---|---|---|---|---|
{run_lines}
"""  # noqa: E501


def draw_picture(ours: dict[int, Run], peer: dict[int, Run], start: float, slope: float) -> None:
    """Draw time against rows, both on logarithmic axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    rows = np.geomspace(min(ours), max(ours), 200)
    label = f"{start:.1f} s + {slope * 1e6:.2f} s per million rows"
    axes.plot(rows, start + slope * rows, color="#1f5fa8", linewidth=1, label=label)
    for runs, colour, mark, title in (
        (ours, "#1f5fa8", "o", "score"),
        (peer, "#b5532a", "s", "mlflow models predict"),
    ):
        times = [run.seconds for run in runs.values()]
        line = "none" if runs is ours else ":"
        axes.plot(list(runs), times, mark, color=colour, linestyle=line, label=title)
    axes.set(xscale="log", yscale="log", xlabel="rows", ylabel="seconds, file to file")
    axes.set_title("Scoring time against the number of rows")
    axes.legend(frameon=False)
    figure.savefig(PICTURE, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    sys.exit(short() if arguments(__doc__, short=True).short else full())
