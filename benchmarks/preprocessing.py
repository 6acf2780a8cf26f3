"""Preprocessing against what pandas takes to read the same CSV and write the Parquet.

``python -m benchmarks.preprocessing [rows]`` draws a synthetic cohort, then runs both sides in
turn, each in processes of its own, and writes the best time and the highest memory of each, with
their ratios, to docs/benchmarks.md. The drawing of the report is no part of either side.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.csv
import pyarrow.parquet  # noqa: F401  (both sides use it: imported before the clock starts)

from benchmarks.arguments import arguments
from benchmarks.pasting import paste
from clinical.cohort import draw, write_uci
from clinical.preparation import prepare
from clinical.schema import FEATURE_NAMES

ROUNDS = 3
MOST_TIME = 3.0
MOST_MEMORY = 4.0


def with_pandas(source: Path, target: Path) -> pd.DataFrame:
    """Read and write, and nothing else."""
    names = [*FEATURE_NAMES, "num"]
    frame = pd.read_csv(source, header=None, names=names, na_values=["?"])
    frame.to_parquet(target, index=False)
    return frame


def with_prepare(source: Path, target: Path) -> pd.DataFrame:
    """Read, recognise, convert, check, clean, count and write."""
    prepared = prepare(source, source.name)
    prepared.frame.to_parquet(target, index=False)
    target.with_suffix(".json").write_text(json.dumps(prepared.report))
    return prepared.frame


SIDES: dict[str, Callable[[Path, Path], pd.DataFrame]] = {
    "pandas": with_pandas,
    "prepare": with_prepare,
}


def measure(side: str, source: Path, target: Path) -> dict[str, float]:
    """Run one side in this process: its seconds, its memory above the start, its frame."""
    # A first small run loads what is loaded late, on both sides.
    small = target.with_suffix(".small")
    with source.open(encoding="ascii") as lines:
        small.write_text("".join(line for line, _ in zip(lines, range(1000), strict=False)))
    SIDES[side](small, target)
    before, start = _peak(), time.perf_counter()
    frame = SIDES[side](source, target)
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "memory": _peak() - before,
        "frame": float(np.asarray(frame.memory_usage(index=False)).sum()),
    }


def _peak() -> float:
    scale = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale)


def _child(*arguments: str) -> str:
    command = [sys.executable, "-m", "benchmarks.preprocessing", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def compare(rows: int) -> dict[str, float]:
    """Measure both sides in turn, paste them, and give the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "patients.data")
        # Not drawn in this process: its children would inherit its peak of memory.
        _child("draw", str(rows), str(source))
        runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
        for _ in range(ROUNDS):
            for side, results in runs.items():
                target = Path(folder, f"{side}.parquet")
                results.append(json.loads(_child(side, str(source), str(target))))
    seconds = {side: min(run["seconds"] for run in results) for side, results in runs.items()}
    memory = {side: max(run["memory"] for run in results) for side, results in runs.items()}
    frame = runs["prepare"][0]["frame"]
    ratios = {"time": seconds["prepare"] / seconds["pandas"], "memory": memory["prepare"] / frame}
    table = f"""## Preprocessing

{rows:,} synthetic rows of CSV, read to written Parquet, best of {ROUNDS} rounds that take turns, each
in a process of its own. Memory is the peak above the start; the frame itself takes {frame / 2**20:.0f} MiB.

| what | ours | against | ratio | target |
|---|---|---|---|---|
| time, against pandas reading and writing | {seconds["prepare"]:.2f} s | {seconds["pandas"]:.2f} s | {ratios["time"]:.2f} | at most {MOST_TIME:g} |
| memory, against the frame | {memory["prepare"] / 2**20:.0f} MiB | {frame / 2**20:.0f} MiB | {ratios["memory"]:.2f} | at most {MOST_MEMORY:g} |
"""  # noqa: E501
    paste("preprocessing", "python -m benchmarks.preprocessing", table)
    return ratios


def main(given: list[str]) -> int:
    """Compare; or do one part of it, in a process of its own."""
    if given[:1] == ["draw"]:
        write_uci(draw(int(given[1])), Path(given[2]))
        return 0
    if len(given) == 3:
        print(json.dumps(measure(given[0], Path(given[1]), Path(given[2]))))
        return 0
    ratios = compare(arguments(__doc__, rows=1_000_000).rows)
    return int(ratios["time"] > MOST_TIME or ratios["memory"] > MOST_MEMORY)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
