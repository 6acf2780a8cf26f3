"""Where refitted models put patients is measured on patients that they have not seen."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from risk_model.measurements import Refits
from steps.modelling.estimators import Recipe
from steps.modelling.validation import REFITS, cross_validated, out_of_bag, refit_ranges
from tests.steps.conftest import Patients, build


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return build(model="logistic_regression", C=0.3, calibration="sigmoid", random_state=1)


def test_each_refit_answers_for_those_whom_it_has_not_drawn(
    recipe: Recipe, sample: Patients
) -> None:
    probabilities = out_of_bag(recipe, *sample, seed=3)
    assert probabilities.shape == (REFITS, len(sample[1]))
    answered = np.isfinite(probabilities).mean(axis=1)
    assert answered == pytest.approx(np.exp(-1), abs=0.08)  # of whom a bootstrap draws nobody
    known = probabilities[np.isfinite(probabilities)]
    assert ((known > 0) & (known < 1)).all()


def test_near_copies_are_drawn_together(recipe: Recipe, sample: Patients) -> None:
    features, y = sample
    twice = pd.concat([features, features.assign(chol=features["chol"] + 1)], ignore_index=True)
    found = np.isfinite(out_of_bag(recipe, twice, np.tile(y, 2), seed=3))
    np.testing.assert_array_equal(found[:, : len(y)], found[:, len(y) :])


def test_ranges_hold_the_probabilities_and_are_widest_in_the_middle(
    recipe: Recipe, sample: Patients
) -> None:
    p = cross_validated(recipe, *sample).probabilities
    found = Refits.model_validate(refit_ranges(recipe, *sample, p, seed=3), strict=False)
    assert sum(one.patients for one in found.bins) == len(p)
    assert (found.bins[0].start, found.bins[-1].end) == (0, 1)
    for one in found.bins:
        middle = np.median(p[(p >= one.start) & (p <= one.end)])
        assert one.low <= middle <= one.high
    ends = [found.range_of(q) for q in (0.02, 0.5, 0.98)]
    widths = [high - low for low, high in filter(None, ends)]
    assert widths[1] > 2 * max(widths[0], widths[2])
    assert all(0 <= (one.changes_band or 0) <= 1 for one in found.bins)
    # In the middle of a band few change it, at its ends most do.
    shares = {round(one.start, 1): one.changes_band or 0 for one in found.bins}
    assert min(shares.values()) < 0.3
    assert max(shares.values()) > 0.5
