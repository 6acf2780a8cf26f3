"""Curves lie where the truth is, as often as their intervals say."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from steps.modelling import clinical_metrics, curves
from steps.modelling.logistic import log_odds

SEED = 5


def drawn(n: int, power: float = 1.0, seed: int = SEED) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and probabilities whose log-odds are off by a factor."""
    random = np.random.default_rng(seed)
    z = random.normal(0, 1.5, n)
    y = (random.random(n) < 1 / (1 + np.exp(-z))).astype(np.int8)
    return y, 1 / (1 + np.exp(-z / power))


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_the_calibration_curve_finds_how_far_probabilities_are_off(power: float) -> None:
    y, p = drawn(20_000, power)
    curve = curves.calibration(y, p)
    assert curve is not None
    inner = (curve.x > 0.1) & (curve.x < 0.9)
    truth = 1 / (1 + np.exp(-power * log_odds(curve.x)))
    assert curve.middle[inner] == pytest.approx(truth[inner], abs=0.03)
    assert (curve.low <= curve.middle).all()
    assert (curve.middle <= curve.high).all()


def test_its_intervals_hold_the_truth_as_often_as_they_say() -> None:
    held = []
    for seed in range(200):
        curve = curves.calibration(*drawn(300, seed=seed))
        assert curve is not None
        at = int(np.argmin(abs(curve.x - 0.4)))
        held.append(curve.low[at] <= curve.x[at] <= curve.high[at])
    assert 0.91 <= np.mean(held) <= 0.985


def test_few_patients_get_a_straight_line_in_log_odds() -> None:
    y, p = drawn(61)
    curve = curves.calibration(y, p)
    assert curve is not None
    z = log_odds(p)[:, np.newaxis]
    line = LogisticRegression(C=np.inf).fit(z, y)
    asked = log_odds(curve.x)[:, np.newaxis]
    assert curve.middle == pytest.approx(line.predict_proba(asked)[:, 1], abs=1e-3)


def test_probabilities_that_are_all_the_same_have_no_curve() -> None:
    y, _ = drawn(80)
    found = curves.as_json(y, np.full(80, 0.4), SEED)["calibration"]
    assert found["curve"] is None
    counts = {str(label): [0] * 8 + [int((y == label).sum())] + [0] * 11 for label in (0, 1)}
    assert found["histogram"] == counts


def test_the_decision_curve_is_the_net_benefit_at_each_threshold() -> None:
    y, p = drawn(303)
    found = curves.decision(y, p, SEED)
    known = clinical_metrics.with_intervals(y, p, SEED)
    at = int(np.flatnonzero(np.isclose(curves.THRESHOLDS, 0.2))[0])
    model = found["model"]
    assert model.middle[at] == known["net_benefit_20"]
    assert model.low[at] == known["net_benefit_20_ci_low"]
    share = y.mean()
    assert found["all"].middle[at] == pytest.approx(share - (1 - share) * 0.25)
