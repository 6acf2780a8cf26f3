"""What a second worker gains a search, and what Dask costs it.

``python -m benchmarks.sweep`` runs one search on one worker, on two, in this process and on two
processes without Dask, in turn, and writes the medians with their ratios to docs/benchmarks.md; it
takes some minutes. ``--short`` checks in a minute that a second worker gains half of what it
should, and writes nothing.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import joblib
import numpy as np

from benchmarks.arguments import arguments
from benchmarks.pasting import paste
from clinical.cohort import draw, write_uci
from clinical.preparation import prepare
from steps.batch import cluster
from steps.modelling import estimators, searching
from steps.modelling.searching import FOLDS, Search
from steps.parameters.declaration import check
from steps.parameters.entry_points import Train

MODELS = ("random_forest", "logistic_regression")
TRIALS, ROUNDS = 8, 3
SHORT_TRIALS = 3
LEAST_GAIN = 1.6
MOST_COST = 1.15
Work = Callable[[int], None]


def patients() -> estimators.Patients:
    """Return as many synthetic patients as a training set has."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "synthetic.data")
        write_uci(draw(242, 7), path)
        return estimators.columns(prepare(path, path.name).frame)


def on_cluster(workers: int, trials: int) -> float:
    """Return the seconds of a search on workers that have done a little of it before."""

    def search(count: int) -> None:
        drawn = searching.draw(MODELS, count, 1)
        made = Search(client, patients(), drawn, check(Train, {}))
        list(made.candidates())
        list(made.out_of_fold())

    with cluster.connect(workers=workers) as client:
        return seconds(search, trials)


def bare(processes: int, trials: int) -> float:
    """Return the seconds of the same fits in this process, or on processes without Dask."""
    everybody = patients()
    rows, base = np.arange(len(everybody.labels)), check(Train, {})
    splits = [rows, *(fitting for fitting, _ in searching.folds(1).split(rows, everybody.labels))]

    def search(count: int) -> None:
        drawn = searching.draw(MODELS, count, 1)
        with joblib.Parallel(n_jobs=processes) as parallel:
            parallel(
                joblib.delayed(searching.cross_validate)(
                    everybody, some, replace(base, **drawn_one)
                )
                for some in splits
                for drawn_one in drawn
            )

    return seconds(search, trials)


def seconds(work: Work, amount: int) -> float:
    """Return how long some work takes where a little of it was done before."""
    work(2)
    start = time.perf_counter()
    work(amount)
    return time.perf_counter() - start


def compare(trials: int, rounds: int) -> dict[str, float]:
    """Return the median seconds of a search in each surrounding."""
    sides = {"one": partial(on_cluster, 1), "two": partial(on_cluster, 2)}
    if rounds > 1:
        sides |= {"none": partial(bare, 1), "processes": partial(bare, 2)}
    found: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, measure in sides.items():
            found[side].append(measure(trials))
    return {side: statistics.median(times) for side, times in found.items()}


def table(found: dict[str, float]) -> str:
    """Return the section of the page."""
    one, two, none, processes = (found[side] for side in ("one", "two", "none", "processes"))
    return f"""## Sweep

{TRIALS} candidates ({" and ".join(MODELS)}), {FOLDS} folds each, and the same without each fifth of 242 synthetic patients; medians of {ROUNDS} rounds that take turns.

| what | ours | against | ratio | target |
|---|---|---|---|---|
| a search on one worker, against two | {one:.1f} s | {two:.1f} s | {one / two:.2f} | at least {LEAST_GAIN:g} |
| the same fits in one process, against two without Dask | {none:.1f} s | {processes:.1f} s | {none / processes:.2f} | |
| on one worker, against none: the fits in this process | {one:.1f} s | {none:.1f} s | {one / none:.2f} | at most {MOST_COST:g} |
"""  # noqa: E501


def main() -> int:
    """Measure; write the page, or in the short form check the gain loosely."""
    if arguments(__doc__, short=True).short:
        if (os.cpu_count() or 1) < 2:
            raise SystemExit("two workers need two cores")
        found = compare(SHORT_TRIALS, 1)
        gain = found["one"] / found["two"]
        print(f"sweep: {found['one']:.1f} s on one worker, {found['two']:.1f} s on two: {gain:.2f}")
        return int(gain < 1 + (LEAST_GAIN - 1) / 2)
    paste("sweep", "python -m benchmarks.sweep", table(compare(TRIALS, ROUNDS)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
