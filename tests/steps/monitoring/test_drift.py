"""Drift is found where patients are others, and not because the baseline is a sample."""

import numpy as np
import pytest

from steps.monitoring import drift

PATIENTS = 242


def counts(random: np.random.Generator, size: int, shares: list[float]) -> np.ndarray:
    return np.append(random.multinomial(size, shares), 0)


@pytest.mark.parametrize("size", [50, 1000, 10_000])
def test_two_samples_of_one_population_seldom_drift(size: int) -> None:
    random = np.random.default_rng(size)
    even, skewed = [0.1] * 10, [0.02, 0.5, 0.48]
    found = 0
    for _ in range(60):
        before = {"age": counts(random, PATIENTS, even), "cp": counts(random, PATIENTS, skewed)}
        now = {"age": counts(random, size, even), "cp": counts(random, size, skewed)}
        found += any(one.detected for one in drift.compare_all(before, now).values())
    # 5 % are 3 of 60; more than 9 are less likely than one in a thousand.
    assert found <= 9


@pytest.mark.parametrize("name", ["age", "cp"])
def test_other_patients_drift_and_the_same_ones_do_not(name: str) -> None:
    before, same = np.array([60, 60, 60, 62, 0]), np.array([52, 48, 50, 50, 0])
    now = {"chol": same, name: np.array([20, 40, 60, 80, 0])}
    found = drift.compare_all({"chol": before, name: before}, now)
    assert not found["chol"].detected
    assert found[name].matters
    assert found[name].psi > 0.1 > found["chol"].psi


def test_a_drift_beyond_chance_may_be_too_small_to_matter() -> None:
    (found,) = drift.compare_all(
        {"sex": np.array([30_000, 70_000, 0])}, {"sex": np.array([32_000, 68_000, 0])}
    ).values()
    assert (found.detected, found.matters) == (True, False)


def test_the_psi_is_that_of_the_formula_and_finite_for_an_empty_bin() -> None:
    before, now = np.array([1000, 3000]) * 1000, np.array([3000, 1000]) * 1000
    assert drift.psi(before, now) == pytest.approx(np.log(3), abs=1e-4)
    assert np.isfinite(drift.psi(np.array([0, 10]), np.array([10, 0])))
