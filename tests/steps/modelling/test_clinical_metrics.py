"""The clinical measures are what their definitions say."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score

from steps.modelling import clinical_metrics, metrics
from steps.modelling.clinical_metrics import bands, by_group
from steps.modelling.logistic import log_odds


def calibrated(n: int = 20_000, slope: float = 1, intercept: float = 0) -> tuple[np.ndarray, ...]:
    """Return probabilities, and labels drawn from them after a recalibration."""
    random = np.random.default_rng(3)
    p = random.uniform(0.02, 0.98, n)
    return (random.random(n) < expit(intercept + slope * log_odds(p))).astype(np.int8), p


def one(y: np.ndarray, p: np.ndarray, name: str) -> float:
    return float(clinical_metrics.scores(y, p)[name][0])


def test_the_slope_is_that_of_a_logistic_regression_and_the_intercept_makes_the_mean_right() -> (
    None
):
    y, p = calibrated(300, slope=0.8, intercept=0.5)
    reference = LogisticRegression(C=1e12, tol=1e-10).fit(log_odds(p)[:, np.newaxis], y)
    assert one(y, p, "calibration_slope") == pytest.approx(reference.coef_[0, 0], abs=1e-4)
    # Its defining equation: the recalibrated probabilities sum up to the cases.
    shift = one(y, p, "calibration_intercept")
    assert expit(shift + log_odds(p)).sum() == pytest.approx(y.sum())


def test_weights_count_as_repetitions() -> None:
    y, p = calibrated(200, slope=1.3, intercept=0.2)
    weights = np.random.default_rng(1).integers(0, 4, (3, 200)).astype(float)
    found = clinical_metrics.scores(y, p, weights)
    for i, counts in enumerate(weights.astype(int)):
        alone = clinical_metrics.scores(np.repeat(y, counts), np.repeat(p, counts))
        for name in clinical_metrics.NAMES:
            assert found[name][i] == pytest.approx(alone[name][0], abs=1e-9), name


def test_extreme_probabilities_have_a_slope_too() -> None:
    """Newton's method runs away from these, unless its steps are held back."""
    random = np.random.default_rng(5)
    y = random.integers(0, 2, 300).astype(np.int8)
    p = np.where(random.random(300) < 0.85, y, 1 - y).astype(float)

    def loss(at: np.ndarray) -> float:
        line = at[0] + at[1] * log_odds(p)
        return float(np.logaddexp(0, line).sum() - (y * line).sum())

    expected = minimize(loss, [0, 0.1], method="Nelder-Mead", options={"xatol": 1e-8}).x
    assert one(y, p, "calibration_slope") == pytest.approx(expected[1], abs=1e-4)


def test_what_separated_classes_or_one_alone_do_not_define_is_nan() -> None:
    y = np.array([0, 0, 0, 1, 1, 1], np.int8)
    assert np.isnan(one(y, np.array([0.1, 0.2, 0.3, 0.7, 0.8, 0.9]), "calibration_slope"))
    found = clinical_metrics.scores(np.ones(5, np.int8), np.linspace(0.1, 0.9, 5))
    for name in ("roc_auc", "specificity", "calibration_slope"):
        assert np.isnan(found[name][0])
    assert found["sensitivity"][0] == pytest.approx(0.6)


def test_measures_are_what_they_are_called() -> None:
    y, p = calibrated(500)
    assert one(y, p, "sensitivity") == pytest.approx(recall_score(y, p >= 0.5))
    assert one(y, p, "specificity") == pytest.approx(recall_score(1 - y, p < 0.5))
    assert one(y, p, "observed_expected") == pytest.approx(y.sum() / p.sum())
    for at in (0.1, 0.5):
        name, share = f"net_benefit_{round(100 * at)}", y.mean()
        everybody = share - (1 - share) * at / (1 - at)
        assert one(y, np.ones(500), name) == pytest.approx(everybody)
        assert one(y, np.zeros(500), name) == 0
        assert one(y, y.astype(float), name) == pytest.approx(share)


def patients(y: np.ndarray) -> pd.DataFrame:
    """Return men and, first, 12 women; everybody of the same age."""
    return pd.DataFrame({"sex": np.arange(len(y)) >= 12, "age": 55.0}).astype(float)


def test_nothing_is_said_of_a_group_that_is_too_small() -> None:
    y, p = calibrated(200)
    found = {group["group"]: group for group in by_group(patients(y), y, p, 1)}
    assert found["female"]["patients"] == 12
    assert found["female"]["metrics"] is None
    nobody = found["age under 50"]
    assert (nobody["patients"], nobody["diseased"], nobody["metrics"]) == (0, 0, None)
    assert [band["observed"]["patients"] for band in nobody["risk_bands"]] == [0, 0, 0]
    alone = metrics.scores(y[12:], p[12:])["roc_auc"][0]
    assert found["male"]["metrics"]["roc_auc"] == alone


def test_everybody_is_of_one_sex_and_one_age() -> None:
    frame = pd.DataFrame({"sex": [0.0, 1.0, 1.0, 0.0], "age": [49.9, 50.0, 60.0, 90.0]})
    members = np.array(list(clinical_metrics.groups(frame).values()))
    np.testing.assert_array_equal(members[:2].sum(axis=0), 1)
    np.testing.assert_array_equal(members[2:].sum(axis=0), 1)


@pytest.mark.parametrize(("count", "total", "low", "high"), [
    (0, 10, 0.0, 0.278), (5, 10, 0.237, 0.763), (10, 10, 0.722, 1.0), (0, 0, 0.0, 1.0),
])  # fmt: skip
def test_the_interval_of_a_share_is_wilsons(
    count: int, total: int, low: float, high: float
) -> None:
    y = np.arange(total) < count
    observed = bands(y.astype(np.int8), np.full(total, 0.1))[0]["observed"]
    assert (observed["low"], observed["high"]) == pytest.approx((low, high), abs=0.001)


def test_each_patient_falls_into_one_band_from_its_beginning_on() -> None:
    y = np.array([0, 1, 0, 1, 1], np.int8)
    found = bands(y, np.array([0.0, 0.2999, 0.3, 0.7, 1.0]))
    counts = [(b["level"], b["observed"]["patients"], b["observed"]["diseased"]) for b in found]
    assert counts == [("Low", 2, 1), ("Moderate", 1, 0), ("High", 2, 2)]
