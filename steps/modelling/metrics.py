"""How good probabilities are: eight measures, and their bootstrap intervals."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]
Labels = NDArray[np.int8]
Mask = NDArray[np.bool_]
Indices = NDArray[np.intp]
Measure = Callable[[Labels, Floats, Floats], dict[str, Floats]]

NAMES = ("accuracy", "precision", "recall", "f1", "roc_auc", "pr_auc", "brier", "log_loss")
THRESHOLD = 0.5
BOOTSTRAPS = 1000
JACKKNIFE = 300
"""Into how many parts patients are divided for intervals; single ones, where there are fewer."""


def scores(y: Labels, p: Floats, weights: Floats | None = None) -> dict[str, Floats]:
    """Return the eight measures, for many weightings of the rows at once.

    Each equals scikit-learn's function of that name with ``sample_weight`` (``pr_auc`` is
    ``average_precision_score``, ``brier`` is ``brier_score_loss``), which calls for a thousand
    bootstraps are too slow for; a test holds them together.

    Parameters
    ----------
    y, p : arrays, shape (n_rows,)
        Labels, 0 or 1, and probabilities of label 1.
    weights : array of float, shape (n_weightings, n_rows), optional
        Ones by default.

    Returns
    -------
    dict of str to array, shape (n_weightings,)
        NaN where a measure is undefined, such as the AUC of a single class.
    """
    w = np.ones((1, len(y))) if weights is None else weights
    order = np.argsort(-p, kind="stable")
    labels, p, w = y[order].astype(float), p[order], w[:, order]
    # Rows of one probability are one step of the curves.
    last = np.append(p[1:] != p[:-1], True)
    tp, fp = np.cumsum(w * labels, axis=1)[:, last], np.cumsum(w * (1 - labels), axis=1)[:, last]
    with np.errstate(divide="ignore", invalid="ignore"):
        of_curves = _over_thresholds(tp, fp)
        return _at_threshold(labels, p, w) | of_curves | _of_probabilities(labels, p, w)


def _at_threshold(y: Floats, p: Floats, w: Floats) -> dict[str, Floats]:
    positive = (p >= THRESHOLD).astype(float)
    tp, fp, fn = w @ (y * positive), w @ ((1 - y) * positive), w @ (y * (1 - positive))
    return {
        "accuracy": 1 - (fp + fn) / w.sum(axis=1),
        "precision": tp / (tp + fp),
        "recall": tp / (tp + fn),
        "f1": 2 * tp / (2 * tp + fp + fn),
    }


def _over_thresholds(tp: Floats, fp: Floats) -> dict[str, Floats]:
    positives, negatives = tp[:, -1:], fp[:, -1:]
    zero = np.zeros_like(positives)
    recall = np.hstack([zero, tp / positives])
    fallout = np.hstack([zero, fp / negatives])
    gains = np.diff(recall, axis=1)
    precision = np.where(gains > 0, tp / (tp + fp), 0)
    return {
        "roc_auc": np.asarray(np.trapezoid(recall, fallout, axis=1)),
        "pr_auc": np.where(positives[:, 0] > 0, (gains * precision).sum(axis=1), np.nan),
    }


def _of_probabilities(y: Floats, p: Floats, w: Floats) -> dict[str, Floats]:
    tiny = np.finfo(float).eps
    sure = np.clip(p, tiny, 1 - tiny)
    losses = -(y * np.log(sure) + (1 - y) * np.log(1 - sure))
    count = w.sum(axis=1)
    return {"brier": w @ (p - y) ** 2 / count, "log_loss": w @ losses / count}


def over_folds(scores: Sequence[dict[str, Floats]], names: Iterable[str]) -> dict[str, float]:
    """Return mean and standard deviation of measures over folds, by metric name."""
    values = {name: [fold[name][0] for fold in scores] for name in names}
    means = {f"cv_{name}_mean": float(np.mean(each)) for name, each in values.items()}
    return means | {f"cv_{name}_std": float(np.std(each, ddof=1)) for name, each in values.items()}


def bootstrap_weights(y: Labels, seed: int, times: int = BOOTSTRAPS) -> Floats:
    """Return how often each row is drawn in each bootstrap, shape (times, n_rows).

    Patients are drawn whatever their class, so that the prevalence varies as it would. A draw that
    lacks a class leaves measures that need both undefined.
    """
    random = np.random.default_rng(seed)
    drawn = random.multinomial(len(y), np.full(len(y), 1 / len(y)), times)
    return np.asarray(drawn, dtype=np.float64)


def jackknife_weights(y: Labels) -> Floats:
    """Return weightings that leave out each row in turn, or each of JACKKNIFE parts of many."""
    parts = min(len(y), JACKKNIFE)
    kept = np.arange(len(y)) % parts != np.arange(parts)[:, np.newaxis]
    return np.asarray(kept, dtype=np.float64)


def with_intervals(y: Labels, p: Floats, seed: int, measure: Measure = scores) -> dict[str, float]:
    """Return all that `measure` does, with 95 % bootstrap intervals (BCa), by metric name.

    See docs/decisions/0021-intervals.md for their coverage.
    """
    weightings = np.ones((1, len(y))), bootstrap_weights(y, seed), jackknife_weights(y)
    values, drawn, without = (measure(y, p, weights) for weights in weightings)
    measures: dict[str, float] = {}
    for name, (value,) in values.items():
        low, high = interval(value, drawn[name], without[name])
        measures |= {name: float(value), f"{name}_ci_low": low, f"{name}_ci_high": high}
    return measures


def interval(value: float, drawn: Floats, without: Floats) -> tuple[float, float]:
    """Return the bias-corrected and accelerated 95 % interval; NaN where nothing is defined.

    It is of the value of all patients, those of bootstraps, and those without some patients in
    turn; NaN where undefined, such as precision where no patient is predicted to be ill.

    References
    ----------
    Efron: Better bootstrap confidence intervals. Journal of the American Statistical Association
    1987. https://doi.org/10.1080/01621459.1987.10478410
    """
    drawn, without = drawn[np.isfinite(drawn)], without[np.isfinite(without)]
    if not len(drawn) or not np.isfinite(value):
        return np.nan, np.nan
    below = ((drawn < value).mean() + (drawn <= value).mean()) / 2
    bias = ndtri(np.clip(below, 1 / len(drawn), 1 - 1 / len(drawn)))
    moved = without.mean() - without if len(without) else np.zeros(1)
    spread = (moved**2).sum() ** 1.5
    # Where leaving out whomever changes nothing but rounding, there is nothing to accelerate.
    acceleration = (moved**3).sum() / (6 * spread) if spread > 1e-30 else 0.0
    ends = bias + ndtri([0.025, 0.975])
    low, high = np.quantile(drawn, ndtr(bias + ends / (1 - acceleration * ends)))
    return float(low), float(high)
