"""A synthetic cohort that resembles the Cleveland patients, where they are out of reach.

It is drawn from the figures in ``cohort.json`` (class-conditional marginals and rank
correlations) and holds no patient's record. It carries no clinical claim, and neither does a
model that was trained on it.
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtr

from clinical import copies
from clinical.preparation import prepare
from clinical.schema import FEATURE_NAMES

SYNTHETIC = "synthetic"
"""The value of ``data.source`` of what was trained on the sample."""
SAMPLE_ROWS, SAMPLE_SEED = 303, 42
FIGURES = Path(__file__).with_name("cohort.json")

Values = npt.NDArray[np.float64]


def draw(n: int, seed: int = 42) -> pd.DataFrame:
    """Draw patients in the UCI coding by a Gaussian copula within each class.

    They have the 13 features in the order of ``FEATURES``, NaN where unknown, then `num` (int8, 0
    to 4), in a random order of rows. The same seed gives the same patients on every machine.

    Each class draws z ~ N(0, `latent_corr`) by Cholesky (the signs of eigenvectors vary between
    linear algebra libraries) and u = Phi(z); each cell inverts the class's marginal or, with the
    chance `shrinkage`, the pooled one, without which the classes would be too easy to tell apart.
    """
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    rng = np.random.default_rng(seed)
    diseased = round(n * figures["prevalence"])
    parts = [_draw_class(figures, "0", n - diseased, rng), _draw_class(figures, "1", diseased, rng)]
    cells = np.concatenate(parts, axis=1)
    for row, name in zip(cells, figures["features"], strict=True):
        row[rng.random(n) < figures["missing_rate"][name]] = np.nan
    shares = figures["severity_given_disease"]
    chances = np.array(list(shares.values()))
    grades = np.array([int(grade) for grade in shares], dtype=np.int8)
    severity = rng.choice(grades, size=diseased, p=chances / chances.sum())
    frame = pd.DataFrame(dict(zip(figures["features"], cells, strict=True)))[list(FEATURE_NAMES)]
    frame["num"] = np.concatenate([np.zeros(n - diseased, dtype=np.int8), severity])
    return frame.iloc[rng.permutation(n)].reset_index(drop=True)


def _draw_class(figures: dict[str, Any], label: str, n: int, rng: np.random.Generator) -> Values:
    """Draw the features of one class, of shape (13, n)."""
    own, pooled = figures["classes"][label], figures["pooled_marginals"]
    factor = np.linalg.cholesky(np.array(own["latent_corr"]))
    uniform = ndtr(factor @ rng.standard_normal((len(factor), n)))
    borrowed = rng.random(uniform.shape) < figures["shrinkage"]
    for name, row, borrow in zip(figures["features"], uniform, borrowed, strict=True):
        from_pool = _invert(pooled[name], row[borrow])
        row[:] = _invert(own["marginals"][name], row)
        row[borrow] = from_pool
    return np.asarray(uniform)


def _invert(marginal: dict[str, Any], uniform: Values) -> Values:
    """Map uniform numbers to a marginal distribution by the inverse of its cumulative one."""
    if marginal["kind"] == "discrete":
        values = np.array(marginal["values"], dtype=np.float64)
        steps = np.cumsum(marginal["freq"])[:-1]
        return np.asarray(values[np.searchsorted(steps, uniform, side="right")])
    zero = marginal.get("zero_mass", 0.0)
    levels, quantiles = marginal["quantile_levels"], marginal["quantiles"]
    known = np.interp((uniform - zero) / (1 - zero), levels, quantiles)
    return np.where(uniform < zero, 0.0, np.round(known, marginal["decimals"]))


def write_uci(frame: pd.DataFrame, path: Path | io.BytesIO) -> None:
    """Write patients in the UCI coding as UCI does: no header, one decimal, ``?`` for unknown."""
    frame.to_csv(
        path, header=False, index=False, na_rep="?", float_format="%.1f", lineterminator="\n"
    )


def sample() -> bytes:
    """Return the file of the synthetic sample, the same each time."""
    file = io.BytesIO()
    write_uci(draw(SAMPLE_ROWS, SAMPLE_SEED), file)
    return file.getvalue()


def is_sample(patients: pd.DataFrame) -> bool:
    """Return whether at least half of canonical patients are of the synthetic sample.

    By the hashes of the patients, whatever the file; near-copies count as well.
    """
    # A larger file cannot be, unless it holds each of them several times.
    if not 0 < len(patients) <= 10 * SAMPLE_ROWS:
        return False
    ours = prepare(sample(), "sample").frame
    return bool(copies.has_near_copy(patients, ours).mean() >= 0.5)


def source_of(patients: pd.DataFrame, source: str) -> str:
    """Return the value of ``data.source``: `source`, unless they are of the synthetic sample."""
    return SYNTHETIC if is_sample(patients) else source
