"""Measure how often `monitor` finds drift where there is none, and how little it finds.

Run as ``python -m benchmarks.monitoring [simulations]`` (1,000 take five minutes); it
writes the figures to docs/benchmarks.md, and exits 1 where more than LIMIT of the windows without
drift are found to drift. Baseline and window are both drawn afresh, from synthetic patients; of the
probability, from what one model says of them.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
from collections.abc import Mapping

import numpy as np
import pandas as pd

from benchmarks.arguments import arguments
from benchmarks.coverage import patients
from benchmarks.pasting import paste
from clinical.schema import FEATURES, Feature
from risk_model.prediction_log.records import PROBABILITY, bins_of
from steps.modelling import clinical_metrics, estimators, model_metadata
from steps.modelling.metrics import Floats, Labels
from steps.monitoring import calibration, drift, reading
from steps.parameters.declaration import check
from steps.parameters.entry_points import Train

POPULATION = 100_000
BASELINE = 242
SIZES = (50, 200, 1_000, 10_000)
LIMIT = 0.05
FOUND = 0.8
RAISED = {"sex": 1, "cp": 0, "thal": 3}
"""The code of some features that becomes more frequent."""
SHIFTED = [feature for feature in FEATURES if feature.name in {"age", "trestbps", *RAISED}]
WINDOWS = 200
"""How many windows there are for each shift that is tried."""
OUTCOMES = 200
CARD = 303


def population() -> tuple[pd.DataFrame, Labels]:
    """Return synthetic patients with what a model of 303 others says of them, and labels."""
    x, y = patients(303, seed=1)
    model = estimators.from_parameters(check(Train, {})).fit(x, y)
    rows, labels = patients(POPULATION, seed=2)
    return rows.assign(**{PROBABILITY: model.predict_proba(rows)[:, 1]}), labels


def compare(before: pd.DataFrame, now: pd.DataFrame) -> Mapping[str, drift.Drift]:
    """Return what `monitor` finds in a window of patients, given those of the baseline."""
    bins = bins_of(model_metadata.baseline(before, before[PROBABILITY].to_numpy()))
    return drift.compare_all(reading.count_baseline(bins), reading.count_rows(bins, now))


def false_alarms(every: pd.DataFrame, size: int, simulations: int) -> tuple[float, float]:
    """Return in which share of windows without drift it is found, and found to matter."""
    random, found, matters = np.random.default_rng(size), 0, 0
    for _ in range(simulations):
        before, now = (every.iloc[random.integers(0, len(every), n)] for n in (BASELINE, size))
        compared = compare(before, now).values()
        found += any(one.detected for one in compared)
        matters += any(one.matters for one in compared)
    return found / simulations, matters / simulations


def shifted(values: Floats, feature: Feature, by: float, random: np.random.Generator) -> Floats:
    """Return values moved by so many standard deviations, or a code made so much more frequent."""
    if not feature.codes:
        return values + by * np.nanstd(values)
    code = RAISED[feature.name]
    share = by / (1 - np.mean(values == code))
    return np.where(random.random(len(values)) < share, code, values)


def smallest(every: pd.DataFrame, feature: Feature, size: int) -> float | None:
    """Return the shift that is found in FOUND of the windows, None where none is.

    Found as in a window in which nothing else drifts: beyond chance for the first of all tests.
    """
    column = every[feature.name].to_numpy(float)
    random, limit = np.random.default_rng(size), drift.LEVEL / (len(FEATURES) + 1)

    def power(by: float) -> float:
        hits = 0
        for _ in range(WINDOWS):
            before, now = (column[random.integers(0, len(column), n)] for n in (BASELINE, size))
            made = model_metadata.histogram(before, tuple(feature.codes))
            bins = {feature.name: made}
            frame = pd.DataFrame({feature.name: shifted(now, feature, by, random)})
            one = drift.compare(
                reading.count_baseline(bins)[feature.name],
                reading.count_rows(bins, frame)[feature.name],
                random, nominal=feature.nominal,
            )  # fmt: skip
            hits += one.p_value <= limit
        return hits / WINDOWS

    most = 1 - float(np.mean(column == RAISED[feature.name])) if feature.codes else 2.0
    low, high = 0.0, most
    if power(high) < FOUND:
        return None
    for _ in range(6):
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle) >= FOUND else (middle, high)
    return high


def left(y: Labels, p: Floats, size: int, simulations: int) -> float:
    """Return how often outcomes are found to have left the card where nothing has changed."""
    random, found = np.random.default_rng(size), 0
    for number in range(simulations):
        draws = (random.integers(0, len(y), n) for n in (CARD, size))
        card, now = (
            clinical_metrics.with_intervals(y[rows], p[rows], number, calibration.JUDGED)
            for rows in draws
        )
        found += any(calibration.judge(name, now, card)["left"] for name in calibration.JUDGED)
    return found / simulations


def table(
    alarms: Mapping[int, tuple[float, float]],
    shifts: Mapping[str, Mapping[int, float | None]],
    outcomes: float,
    simulations: int,
) -> str:
    """Return the figures as Markdown."""
    head = " | ".join(f"{size:,} patients" for size in SIZES)
    lines = [
        "## Monitoring",
        "",
        f"A baseline of {BASELINE} synthetic patients and a window of others, both drawn afresh. "
        f"Without drift, in {simulations:,} windows each: how often any of the 13 features or the "
        "probability was found to drift (a warning or an alarm), and by a size that matters (an "
        f"alarm). At most {100 * LIMIT:.0f} % are promised.",
        "",
        f"| | {head} |",
        "|---" * (1 + len(SIZES)) + "|",
    ]
    for place, name in enumerate(("found to drift", "of a size that matters")):
        cells = (f"{100 * alarms[size][place]:.1f} %" for size in SIZES)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [
        "",
        f"The drift of one feature that is found in {100 * FOUND:.0f} % of {WINDOWS} windows: "
        "standard deviations by which it is moved, or percentage points by which a code is more "
        "frequent.",
        "",
        f"| feature | {head} |",
        "|---" * (1 + len(SIZES)) + "|",
    ]
    for feature in SHIFTED:
        cells = (_cell(feature, shifts[feature.name][size]) for size in SIZES)
        code = f": {feature.codes[RAISED[feature.name]]}" if feature.codes else ""
        lines.append(f"| {feature.name}{code} | {' | '.join(cells)} |")
    lines += [
        "",
        f"Of an unchanged population, {OUTCOMES} outcomes against a card of {CARD} patients: "
        f"intercept or slope were found to have left it in {100 * outcomes:.1f} % of "
        f"{simulations // 4:,} simulations.",
    ]
    return "\n".join(lines)


def _cell(feature: Feature, shift: float | None) -> str:
    if shift is None:
        return "not found"
    return f"+{100 * shift:.0f}" if feature.codes else f"{shift:.2f} sd"


def main() -> int:
    """Measure, write the page, and return 1 where there are too many false alarms."""
    simulations = arguments(__doc__, simulations=1000).simulations
    every, y = population()
    alarms = {size: false_alarms(every, size, simulations) for size in SIZES}
    shifts = {f.name: {size: smallest(every, f, size) for size in SIZES} for f in SHIFTED}
    outcomes = left(y, every[PROBABILITY].to_numpy(), OUTCOMES, simulations // 4)
    text = table(alarms, shifts, outcomes, simulations)
    paste("monitoring", "python -m benchmarks.monitoring", text)
    return int(max(found for found, _ in alarms.values()) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
