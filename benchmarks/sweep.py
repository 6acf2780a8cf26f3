"""What a second worker gains a search, and what Dask costs it.

``python -m benchmarks.sweep`` runs one search without a cluster, on one worker and on two, in turn,
and writes the medians with their ratios to docs/benchmarks.md; it takes about eight minutes.
``--short`` checks in a minute that a second worker gains half of what it should, and writes
nothing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import joblib
import pandas as pd
from sklearn.model_selection import cross_validate

from benchmarks.pasting import paste
from clinical.cohort import draw, write_uci
from clinical.preparation import prepare
from steps.batch import cluster
from steps.modelling import estimators, metrics, searching
from steps.modelling.searching import FOLDS, Candidate
from steps.parameters.declaration import check
from steps.parameters.entry_points import Train

MODELS = ("random_forest", "logistic_regression")
TRIALS, ROUNDS = 30, 3
SHORT_TRIALS = 12
LEAST_GAIN = 1.6
MOST_COST = 1.15
Context = Callable[[], AbstractContextManager[object]]


def patients() -> tuple[pd.DataFrame, metrics.Labels]:
    """Return the features and labels of as many synthetic patients as a training set has."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "synthetic.data")
        write_uci(draw(242, 7), path)
        return estimators.columns(prepare(path, path.name).frame)


@contextmanager
def on_cluster(workers: int) -> Iterator[None]:
    """Send the fits to a cluster of this machine."""
    with cluster.connect(workers=workers) as client, searching.spread(client):
        yield


@contextmanager
def as_it_comes(workers: int) -> Iterator[None]:
    """Use joblib's Dask backend as it is."""
    with cluster.connect(workers=workers) as client, joblib.parallel_config("dask", client=client):
        yield


def search(x: pd.DataFrame, y: metrics.Labels, trials: int) -> None:
    """Search once."""
    values = vars(check(Train, {}))
    fixed = {k: v for k, v in values.items() if k not in ("data", "test_size")}
    candidate = Candidate(**fixed)  # type: ignore[arg-type]
    searching.prepare(candidate, MODELS, trials, searching.BATCH, lambda *_: None).fit(x, y)


def validate(x: pd.DataFrame, y: metrics.Labels, times: int) -> None:
    """Cross-validate the default forest, which knows nothing of clusters."""
    cross_validate(estimators.from_parameters(check(Train, {})), x, y, cv=times, n_jobs=-1)


def seconds(context: Context, work: Callable[[int], None], amount: int) -> float:
    """Return how long some work takes on workers that have done a little of it before."""
    with context():
        work(2)
        start = time.perf_counter()
        work(amount)
        return time.perf_counter() - start


def compare(trials: int, rounds: int) -> dict[str, float]:
    """Return the median seconds of a search in each surrounding."""
    x, y = patients()
    sides: dict[str, Context] = {
        "one": partial(on_cluster, 1),
        "two": partial(on_cluster, 2),
    }
    if rounds > 1:
        sides |= {
            "none": partial(joblib.parallel_config, "sequential"),
            "processes": partial(joblib.parallel_config, "loky", n_jobs=2),
        }
    found: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, context in sides.items():
            found[side].append(seconds(context, partial(search, x, y), trials))
    return {side: statistics.median(times) for side, times in found.items()}


def trap() -> tuple[float, float]:
    """Return how long forests take on one and on two workers with joblib's backend as it is."""
    work = partial(validate, *patients())
    one, two = (seconds(partial(as_it_comes, n), work, 10) for n in (1, 2))
    return one, two


def table(found: dict[str, float], forests: tuple[float, float]) -> str:
    """Return the section of the page."""
    one, two = found["one"], found["two"]
    return f"""## Sweep

{TRIALS} candidates ({" and ".join(MODELS)}), {FOLDS} folds each, of 242 synthetic patients; medians of {ROUNDS} rounds that take turns.

| what | ours | against | ratio | target |
|---|---|---|---|---|
| a search on one worker, against two | {one:.1f} s | {two:.1f} s | {one / two:.2f} | at least {LEAST_GAIN:g} |
| on one worker, against none: scikit-learn in this process | {one:.1f} s | {found["none"]:.1f} s | {one / found["none"]:.2f} | at most {MOST_COST:g} |
| on two workers, against two processes of joblib without Dask | {two:.1f} s | {found["processes"]:.1f} s | {two / found["processes"]:.2f} | |
| ten forests with joblib's Dask backend as it comes: one worker, against two | {forests[0]:.1f} s | {forests[1]:.1f} s | {forests[0] / forests[1]:.2f} | |
"""  # noqa: E501


def main() -> int:
    """Measure; write the page, or in the short form check the gain loosely."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="check loosely and write nothing")
    if parser.parse_args().short:
        if (os.cpu_count() or 1) < 2:
            raise SystemExit("two workers need two cores")
        found = compare(SHORT_TRIALS, 1)
        gain = found["one"] / found["two"]
        print(f"sweep: {found['one']:.1f} s on one worker, {found['two']:.1f} s on two: {gain:.2f}")
        return int(gain < 1 + (LEAST_GAIN - 1) / 2)
    found = compare(TRIALS, ROUNDS)
    paste("sweep", "python -m benchmarks.sweep", table(found, trap()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
