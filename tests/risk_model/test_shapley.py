"""Shapley values are what their definition says, and add up."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from risk_model import shapley

REFERENCE = np.array([0.0, 0.0, 0.0, 0.0])


def bent(rows: np.ndarray) -> np.ndarray:
    """Give a function with interactions of two and of three features."""
    a, b, c, d = rows.T
    return 0.2 + 0.1 * a + 0.3 * b * c - 0.2 * a * b * d + 0.05 * d**2


def by_definition(patient: np.ndarray) -> np.ndarray:
    """Average what each feature adds over every order in which they may come."""
    found = np.zeros(4)
    orders = list(permutations(range(4)))
    for order in orders:
        row = REFERENCE.copy()
        for feature in order:
            before = bent(row[np.newaxis])[0]
            row[feature] = patient[feature]
            found[feature] += bent(row[np.newaxis])[0] - before
    return found / len(orders)


@given(st.lists(st.integers(-3, 3), min_size=4, max_size=4))
@settings(max_examples=40, deadline=None)
def test_the_values_are_those_of_the_definition(values: list[int]) -> None:
    patient = np.array(values, float)
    found = shapley.explain(bent, patient, REFERENCE)
    np.testing.assert_allclose(found.contributions, by_definition(patient), atol=1e-12)
    ends = (found.base, found.base + found.contributions.sum())
    assert ends == pytest.approx((bent(REFERENCE[np.newaxis])[0], found.probability))


def test_that_a_finding_is_unknown_is_a_value_like_any_other() -> None:
    def cautious(rows: np.ndarray) -> np.ndarray:
        """Say less of patients of whom the second finding is unknown, and more of the others."""
        return bent(np.nan_to_num(rows)) * np.where(np.isnan(rows[:, 1]), 0.5, 1)

    found = shapley.explain(cautious, np.array([1.0, np.nan, 0.0, 2.0]), REFERENCE)
    alone = shapley.explain(cautious, np.array([0.0, np.nan, 0.0, 0.0]), REFERENCE)
    assert alone.contributions[1] == pytest.approx(-0.1)
    assert found.probability == pytest.approx(0.5 * bent(np.array([[1.0, 0.0, 0.0, 2.0]]))[0])
    assert found.base + found.contributions.sum() == pytest.approx(found.probability)
    assert found.contributions[1] < -0.1


def test_the_model_is_asked_once_and_only_about_what_differs() -> None:
    asked: list[int] = []

    def counting(rows: np.ndarray) -> np.ndarray:
        asked.append(len(rows))
        return bent(rows)

    shapley.explain(counting, np.array([1.0, 2.0, np.nan, 0.0]), REFERENCE)
    assert asked == [8]


def test_importance_is_the_mean_of_how_far_a_feature_moves_either_way() -> None:
    def line(rows: np.ndarray) -> np.ndarray:
        return 0.5 + 0.1 * rows[:, 0]

    patients = np.array([[1.0, 5, 5, 5], [-3.0, 5, 5, 5]])
    np.testing.assert_allclose(
        shapley.importance(line, patients, REFERENCE), [0.2, 0, 0, 0], atol=1e-12
    )
