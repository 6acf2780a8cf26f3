"""Folds depend on the patients alone, and keep near-copies of a patient together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from clinical.errors import DataError
from steps.modelling import folds

Patients = tuple[pd.DataFrame, np.ndarray]


def test_the_order_of_the_rows_does_not_matter(sample: Patients) -> None:
    features, y = sample
    order = np.random.default_rng(1).permutation(len(y))
    shuffled = folds.assign(features.iloc[order], y[order], 10)
    np.testing.assert_array_equal(shuffled, folds.assign(features, y, 10)[order])


def test_both_classes_are_divided_evenly(sample: Patients) -> None:
    features, y = sample
    fold = folds.assign(features, y, 10)
    for label in (0, 1):
        counts = np.bincount(fold[y == label], minlength=10)
        assert counts.max() - counts.min() <= 2


def test_a_few_more_patients_leave_most_where_they_are(sample: Patients) -> None:
    features, y = sample
    fewer = folds.assign(features[:-5], y[:-5], 10)
    assert (folds.assign(features, y, 10)[:-5] == fewer).mean() > 0.9


def test_near_copies_are_left_out_together(sample: Patients) -> None:
    features, y = sample
    twice = pd.concat([features, features.assign(chol=features["chol"] + 1)], ignore_index=True)
    fold = folds.assign(twice, np.tile(y, 2), 10)
    np.testing.assert_array_equal(fold[: len(y)], fold[len(y) :])


def test_copies_of_a_few_patients_are_too_few_and_are_counted_as_one(sample: Patients) -> None:
    features, y = sample
    few = features.head(12)
    many = pd.concat([few.assign(chol=200.0 + change) for change in range(5)], ignore_index=True)
    rarest = int(np.bincount(y[:12]).min())
    with pytest.raises(DataError, match=f"needs 10 patients of each class.* has {rarest}$"):
        folds.assign(many, np.tile(y[:12], 5), 10)
