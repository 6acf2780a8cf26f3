"""The eight measures agree with scikit-learn's, and their intervals hold them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap
from sklearn import metrics as reference

from steps.modelling import metrics

REFERENCES = {
    "accuracy": lambda y, p, w: reference.accuracy_score(y, p >= 0.5, sample_weight=w),
    "precision": lambda y, p, w: reference.precision_score(
        y, p >= 0.5, sample_weight=w, zero_division=np.nan
    ),
    "recall": lambda y, p, w: reference.recall_score(y, p >= 0.5, sample_weight=w),
    "f1": lambda y, p, w: reference.f1_score(y, p >= 0.5, sample_weight=w),
    "roc_auc": lambda y, p, w: reference.roc_auc_score(y, p, sample_weight=w),
    "pr_auc": lambda y, p, w: reference.average_precision_score(y, p, sample_weight=w),
    "brier": lambda y, p, w: reference.brier_score_loss(y, p, sample_weight=w),
    "log_loss": lambda y, p, w: reference.log_loss(y, p, sample_weight=w, labels=[0, 1]),
}

# Few distinct probabilities, so that ties, and rows right at the threshold, are common.
probabilities = st.one_of(
    st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),
    st.floats(0, 1, allow_subnormal=False),
)
row = st.tuples(st.integers(0, 1), probabilities, st.integers(0, 3))


@st.composite
def weighted_rows(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = draw(st.lists(row, max_size=30))
    # One row of each class has a weight, so that every measure is defined.
    rows += [(0, draw(probabilities), 1), (1, draw(probabilities), 2)]
    y, p, w = (np.array(column) for column in zip(*draw(st.permutations(rows)), strict=True))
    return y.astype(np.int8), p.astype(float), w.astype(float)


@settings(max_examples=150, deadline=None)
@given(weighted_rows())
def test_each_measure_equals_that_of_scikit_learn(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    y, p, w = rows
    weightings = np.stack([w, np.ones(len(w))])  # at once give what each gives alone
    found = metrics.scores(y, p, weightings)
    assert tuple(sorted(found)) == tuple(sorted(metrics.NAMES))
    for name, measure in REFERENCES.items():
        expected = [measure(y, p, weights) for weights in weightings]
        np.testing.assert_allclose(found[name], expected, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("label", [0, 1])
def test_what_a_single_class_cannot_tell_is_nan_and_the_rest_is_not(label: int) -> None:
    found = metrics.scores(np.full(4, label, np.int8), np.array([0.2, 0.4, 0.6, 0.8]))
    undefined = {"roc_auc"} if label else {"roc_auc", "pr_auc", "recall"}
    assert {name for name, value in found.items() if math.isnan(value[0])} == undefined


def test_precision_is_nan_where_nobody_is_said_to_be_ill_and_a_mistake_costs_no_infinity() -> None:
    found = metrics.scores(np.array([0, 1], np.int8), np.array([0.1, 0.2]))
    assert math.isnan(found["precision"][0])
    assert found["f1"][0] == 0
    certain = metrics.scores(np.array([0, 1], np.int8), np.array([1.0, 1.0]))
    assert 10 < certain["log_loss"][0] < 100


def test_bootstraps_draw_as_many_patients_as_there_are_whatever_their_class() -> None:
    y = np.repeat([0, 1], [30, 3]).astype(np.int8)
    weights = metrics.bootstrap_weights(y, seed=1, times=500)
    np.testing.assert_array_equal(weights, metrics.bootstrap_weights(y, seed=1, times=500))
    assert weights.shape == (500, 33)
    assert (weights.sum(axis=1) == 33).all()
    diseased = weights[:, y == 1].sum(axis=1)
    assert diseased.mean() == pytest.approx(3, abs=0.3)
    assert diseased.std() == pytest.approx(1.65, abs=0.3)  # binomial, not fixed
    # A draw that lacks a class leaves only what needs both undefined.
    found = metrics.scores(y, np.linspace(0, 1, 33), weights)
    np.testing.assert_array_equal(np.isnan(found["roc_auc"]), diseased == 0)
    assert np.isfinite(found["brier"]).all()


@pytest.mark.parametrize("seed", range(3))
def test_intervals_are_those_of_scipy(seed: int) -> None:
    y, p = simulated(seed)
    found = metrics.with_intervals(y, p, seed)
    expected = bootstrap(
        (y, p), reference.brier_score_loss, paired=True, vectorized=False, method="BCa",
        n_resamples=2000, rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    assert found["brier_ci_low"] == pytest.approx(expected.low, abs=0.01)
    assert found["brier_ci_high"] == pytest.approx(expected.high, abs=0.01)


def test_parts_of_many_patients_are_left_out_together() -> None:
    y, p = simulated(1, 2000)
    found = metrics.with_intervals(y, p, 1)
    losses = (p - y) ** 2
    reach = 1.96 * losses.std() / 2000**0.5
    assert found["brier_ci_low"] == pytest.approx(losses.mean() - reach, abs=0.002)
    assert found["brier_ci_high"] == pytest.approx(losses.mean() + reach, abs=0.002)


def simulated(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    p = random.beta(1, 1, n)
    return (random.random(n) < p).astype(np.int8), p


def test_a_measure_that_is_undefined_has_an_undefined_interval() -> None:
    y, p = np.array([0, 1] * 20, np.int8), np.linspace(0, 0.4, 40)
    found = metrics.with_intervals(y, p, 1)
    for end in ("", "_ci_low", "_ci_high"):
        assert math.isnan(found[f"precision{end}"])
        assert math.isfinite(found[f"roc_auc{end}"])
