"""How good probabilities are: eight measures, and their bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int8]
Measure = Callable[[Labels, Floats, Floats | None], dict[str, Floats]]

NAMES = ("accuracy", "precision", "recall", "f1", "roc_auc", "pr_auc", "brier", "log_loss")
THRESHOLD = 0.5
BOOTSTRAPS = 1000


def scores(y: Labels, p: Floats, weights: Floats | None = None) -> dict[str, Floats]:
    """Return the eight measures, for many weightings of the rows at once.

    Each equals scikit-learn's function of that name with ``sample_weight`` (``pr_auc`` is
    ``average_precision_score``, ``brier`` is ``brier_score_loss``), which calls for a thousand
    bootstraps are too slow for; a test holds them together.

    Parameters
    ----------
    y : array of int, shape (n_rows,)
        Labels, 0 or 1.
    p : array of float, shape (n_rows,)
        Probabilities of label 1.
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
        return (
            _at_threshold(labels, p, w) | _over_thresholds(tp, fp) | _of_probabilities(labels, p, w)
        )


def _at_threshold(y: Floats, p: Floats, w: Floats) -> dict[str, Floats]:
    said = (p >= THRESHOLD).astype(float)
    tp, fp, fn = w @ (y * said), w @ ((1 - y) * said), w @ (y * (1 - said))
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
    return {
        "brier": w @ (p - y) ** 2 / w.sum(axis=1),
        "log_loss": w @ losses / w.sum(axis=1),
    }


def bootstrap_weights(y: Labels, seed: int, times: int = BOOTSTRAPS) -> Floats:
    """Return how often each row is drawn in each bootstrap, shape (times, n_rows).

    Rows are drawn within their class, so that no draw lacks one.
    """
    random = np.random.default_rng(seed)
    weights = np.zeros((times, len(y)))
    for label in (0, 1):
        rows = np.flatnonzero(y == label)
        weights[:, rows] = random.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), times)
    return weights


def with_intervals(
    y: Labels, p: Floats, seed: int, names: Iterable[str] = NAMES, measure: Measure = scores
) -> dict[str, float]:
    """Return measures and their 95 % bootstrap percentile intervals, by metric name."""
    drawn, values = measure(y, p, bootstrap_weights(y, seed)), measure(y, p, None)
    found = {}
    for name in names:
        # A draw may leave a measure undefined, such as precision where nobody is said to be ill.
        known = drawn[name][np.isfinite(drawn[name])]
        low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
        found[name] = float(values[name][0])
        found[f"{name}_ci_low"], found[f"{name}_ci_high"] = float(low), float(high)
    return found
