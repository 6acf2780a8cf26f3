"""How much each feature of a patient moved a model's probability away from a reference patient.

Exact Shapley values, of any function from patients to probabilities. A feature is taken away from
a patient by giving them the reference's value, so what is as in the reference moved nothing; that
a finding is unknown is a value like any other. Without a background of real patients, nobody's
record is needed.

References
----------
Shapley: A value for n-person games. Contributions to the Theory of Games 2, 1953.
Sundararajan, Najmi: The many Shapley values for model explanation. ICML 2020 (there called
baseline Shapley). https://arxiv.org/abs/1908.08474
"""

from collections.abc import Callable
from functools import lru_cache
from math import comb
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Predict = Callable[[Values], npt.NDArray[np.floating]]


class Explanation(NamedTuple):
    """Why a patient's probability is not that of the reference patient."""

    base: float  # of the reference patient
    probability: float  # of the patient
    contributions: Values  # what each feature added, in probability, shape (n_features,)


def explain(predict: Predict, patient: Values, reference: Values) -> Explanation:
    """Attribute the difference between a patient's and a reference's probability to the features.

    `predict` gives the probabilities, shape (n,), of rows of shape (n, n_features). It is called
    once, with a row for each combination of the features in which the two differ: 8192 at most for
    13. NaN in `patient` is unknown.
    """
    differing = np.flatnonzero(patient != reference)  # NaN differs from every value
    chosen = _combinations(len(differing))
    rows = np.repeat(reference[np.newaxis], len(chosen), axis=0)
    rows[:, differing] = np.where(chosen, patient[differing], reference[differing])
    probabilities = np.asarray(predict(rows), dtype=np.float64)
    contributions = np.zeros(len(reference))
    contributions[differing] = _weights(len(differing)) @ probabilities
    return Explanation(float(probabilities[0]), float(probabilities[-1]), contributions)


@lru_cache(maxsize=32)
def _combinations(n: int) -> npt.NDArray[np.bool_]:
    """Return every choice among n features, shape (2 ** n, n): none first, all last."""
    return np.asarray(np.arange(2**n)[:, np.newaxis] >> np.arange(n) & 1, dtype=np.bool_)


@lru_cache(maxsize=32)
def _weights(n: int) -> Values:
    """Return the matrix that turns the values of all choices into Shapley values, (n, 2 ** n).

    A feature's value is what it adds to a choice without it, averaged over the choices of one
    size, then over the sizes.
    """
    chosen = _combinations(n)
    size = chosen.sum(axis=1)
    joined = np.array([0.0, *(1 / (n * comb(n - 1, k - 1)) for k in range(1, n + 1))])
    left = np.array([*(1 / (n * comb(n - 1, k)) for k in range(n)), 0.0])
    return np.asarray(np.where(chosen.T, joined[size], -left[size]))


def importance(predict: Predict, patients: Values, reference: Values) -> Values:
    """Return how far each feature moves a patient's probability in the mean, either way."""
    moved = [explain(predict, patient, reference).contributions for patient in patients]
    return np.asarray(np.abs(moved).mean(axis=0))
