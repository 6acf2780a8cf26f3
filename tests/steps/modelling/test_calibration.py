"""Probabilities are calibrated for each pattern of unknown findings, in plain scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression

from clinical.errors import DataError
from clinical.schema import FEATURE_NAMES
from risk_model import patterns
from steps.modelling import estimators, onnx_export
from steps.modelling.calibration import fitting, form
from steps.parameters.entry_points import CALIBRATIONS
from tests.steps.conftest import Patients, small


@pytest.fixture(scope="module")
def fitted(sample: Patients) -> dict[str, StackingClassifier]:
    """Return a small forest with each calibration."""
    return {kind: small(calibration=kind).fit(*sample) for kind in CALIBRATIONS}


def drawn(kind: str) -> tuple[form.Calibration, np.ndarray, np.ndarray]:
    """Return a calibration, learnt from other scores for each pattern, with these and labels."""
    random = np.random.default_rng(5)
    y = random.integers(0, 2, 200).astype(np.int8)
    signal = np.linspace(0.3, 2, patterns.COUNT)[:, np.newaxis] * (y - 0.5)
    p = 1 / (1 + np.exp(-signal - random.normal(0, 0.7, (patterns.COUNT, 200))))
    return fitting.learn(kind, p, y, np.zeros(200, np.intp)), p, y


def test_a_patterns_line_is_scikit_learns_logistic_regression() -> None:
    learnt, p, y = drawn("sigmoid")
    for number in (0, 5, 31):
        scores = logit(p[number])[:, np.newaxis]
        expected = LogisticRegression(tol=1e-8).fit(scores, y).predict_proba(scores)[:, 1]
        found = learnt.apply(p[number], np.full(len(y), number))
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_of_who_is_known_no_calibration_moves_nobody_and_an_isotonic_one_keeps_the_order() -> None:
    learnt, p, _ = drawn("none")
    inside = (p[0] > form.NEAREST) & (p[0] < 1 - form.NEAREST)
    found = learnt.apply(p[0], np.zeros(200, np.intp))
    np.testing.assert_allclose(found[inside], p[0, inside], atol=1e-12)
    assert np.abs(learnt.apply(p[1], np.ones(200, np.intp)) - p[1]).max() > 0.05
    learnt, p, _ = drawn("isotonic")
    found = learnt.apply(p[0], np.zeros(200, np.intp))[np.argsort(p[0])]
    assert (np.diff(found) >= 0).all()
    assert len(np.unique(found.round(6))) < 150  # it has steps, and is no line


def test_a_patient_counts_in_the_patterns_that_lack_what_they_lack() -> None:
    _, p, y = drawn("sigmoid")
    unknown = np.where(np.arange(200) < 100, 0, 8)  # half of them lack ca
    learnt = fitting.learn("sigmoid", p, y, unknown)
    half = fitting.learn("sigmoid", p[:, :100], y[:100], unknown[:100])
    whole = fitting.learn("sigmoid", p, y, np.zeros(200, np.intp))
    for number in range(patterns.COUNT):
        expected = whole if number & 8 else half
        assert learnt.intercepts[number] == pytest.approx(expected.intercepts[number])
    # A pattern that nobody knows enough for is learnt from all.
    nobody = fitting.learn("sigmoid", p, y, np.full(200, 8, np.intp))
    np.testing.assert_allclose(nobody.intercepts, whole.intercepts)


@pytest.mark.parametrize("kind", CALIBRATIONS)
def test_the_scikit_learn_model_gives_what_the_calibration_says(kind: str) -> None:
    learnt, _, _ = drawn(kind)

    class Prevalence(estimators.Pipeline):  # type: ignore[misc]
        """Says the first feature."""

        def predict_proba(self, x: pd.DataFrame) -> np.ndarray:
            p = np.asarray(x)[:, 0]
            return np.column_stack([1 - p, p])

    model = form.as_model(Prevalence([("nothing", "passthrough")]), learnt)
    p = np.array([0.0, 0.2, 0.5, 0.99, 1.0])
    rows = np.ones((5, 13))
    rows[:, 0] = p
    every = patterns.masked(rows)
    expected = learnt.apply(every[:, 0], patterns.of_rows(every))
    frame = pd.DataFrame(every, columns=list(FEATURE_NAMES))
    np.testing.assert_allclose(model.predict_proba(frame)[:, 1], expected, atol=1e-12)
    again = form.calibration_of(model)
    np.testing.assert_allclose(again.intercepts, learnt.intercepts, atol=1e-12)
    np.testing.assert_allclose(again.slopes, learnt.slopes, atol=1e-12)


def test_scores_that_tell_nothing_give_the_prevalence_and_those_that_tell_all_an_end() -> None:
    y, known = np.repeat([0, 1], [30, 10]).astype(np.int8), np.zeros(40, np.intp)
    everybody = np.full(40, patterns.COUNT - 1)
    alike = np.full((patterns.COUNT, 40), 0.6)
    learnt = fitting.learn("sigmoid", alike, y, known)
    np.testing.assert_allclose(learnt.apply(alike[0], everybody), 0.25, atol=1e-6)
    p = np.tile(np.where(y == 1, 0.9, 0.1), (patterns.COUNT, 1))
    learnt = fitting.learn("sigmoid", p, y, known)
    assert np.isfinite(learnt.slopes).all()
    assert learnt.apply(p[0], everybody).max() < 0.999


@pytest.mark.parametrize("kind", CALIBRATIONS)
def test_an_update_is_calibrated_for_other_patients_and_ranks_them_as_before(
    fitted: dict[str, StackingClassifier], sample: Patients, kind: str
) -> None:
    features, y = sample
    others = features.assign(ca=np.nan, thal=np.where(y == 1, np.nan, features["thal"]))
    ill = np.where(np.arange(len(y)) % 4 == 0, 1, y).astype(np.int8)
    updated = fitting.Update(fitted[kind]).fit(others, ill)
    before, after = (model.predict_proba(others)[:, 1] for model in (fitted[kind], updated))
    x = logit(after)
    again = LogisticRegression(C=np.inf, tol=1e-8).fit(x[:, np.newaxis], ill)
    np.testing.assert_allclose([again.intercept_[0], again.coef_[0, 0]], [0, 1], atol=1e-3)
    assert after.sum() == pytest.approx(ill.sum(), abs=1e-3)
    np.testing.assert_array_equal(
        np.argsort(before, kind="stable"), np.argsort(after, kind="stable")
    )
    assert onnx_export.convert(updated, others) is not None


def test_a_model_that_ranks_other_patients_the_wrong_way_round_is_not_updated(
    fitted: dict[str, StackingClassifier], sample: Patients
) -> None:
    features, y = sample
    with pytest.raises(DataError, match="cannot be recalibrated on"):
        fitting.Update(fitted["sigmoid"]).fit(features, (1 - y).astype(np.int8))
