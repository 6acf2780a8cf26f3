"""No model is trusted whose answers cannot be right."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from clinical.schema import FEATURES
from risk_model import checks
from risk_model.errors import ModelError
from risk_model.metadata import References
from tests.serving import forge

Rows = np.ndarray[Any, np.dtype[np.floating[Any]]]


def share(rows: Rows) -> Rows:
    """Return some probability that depends on the patient, whatever is unknown."""
    return np.asarray(np.nan_to_num(rows[:, 0], nan=50) / 120)


def at(name: str, value: float, answer: float) -> Callable[[Rows], Rows]:
    """Return probabilities that are one answer where a feature has a value."""
    place = [feature.name for feature in FEATURES].index(name)
    return lambda rows: np.where(rows[:, place] == value, answer, share(rows))


def where_unknown(names: set[str], answer: float) -> Callable[[Rows], Rows]:
    """Return probabilities that are one answer for one pattern of unknown findings."""
    pattern = [feature.name in names for feature in FEATURES]
    return lambda rows: np.where((np.isnan(rows) == pattern).all(1), answer, share(rows))


def test_a_model_that_answers_well_passes() -> None:
    checks.check_answers(forge.Engine(share))
    checks.check_answers(forge.Engine(lambda rows: np.full(len(rows), 1 + 1e-7)))


@pytest.mark.parametrize("answer", [np.nan, -0.01, 1.01, np.inf])
@pytest.mark.parametrize(
    "where",
    [lambda a: at("oldpeak", -4, a), lambda a: at("age", 110, a), lambda a: at("thal", 1, a),
     lambda a: where_unknown({"ca", "thal"}, a), lambda a: where_unknown(set(), a),
     lambda a: where_unknown({f.name for f in FEATURES if f.nullable}, a)],
)  # fmt: skip
def test_an_answer_outside_of_0_to_1_is_found_wherever_it_is(where: Any, answer: float) -> None:
    with pytest.raises(ModelError, match=r"not in \[0, 1\]"):
        checks.check_answers(forge.Engine(where(answer)))


@pytest.mark.parametrize("label", [
    lambda p: p <= 0.5, lambda p: p > 0.55, lambda p: np.ones(len(p)), lambda p: 2 * (p > 0.5),
])  # fmt: skip
def test_a_label_that_contradicts_its_probability_is_found(label: Any) -> None:
    with pytest.raises(ModelError, match="contradicts"):
        checks.check_answers(forge.Engine(share, label))


def test_a_model_that_cannot_take_unknown_values_is_refused() -> None:
    def strict(rows: Rows) -> Rows:
        if np.isnan(rows).any():
            raise ValueError("NaN")
        return share(rows)

    with pytest.raises(ModelError, match="no unknown values"):
        checks.check_answers(forge.Engine(strict))


def test_the_made_up_patients_hold_all_bounds_codes_and_patterns_of_unknown_findings() -> None:
    rows = checks.made_up_patients(checks.PATIENTS)
    np.testing.assert_array_equal(rows, checks.made_up_patients(checks.PATIENTS))
    for feature, values in zip(FEATURES, rows.T, strict=True):
        known = values[~np.isnan(values)]
        assert all(feature.accepts(value) for value in known)
        assert set(feature.codes) | {feature.low, feature.high} <= set(known)
        assert np.isnan(values).any() == feature.nullable
    nullable = [feature.nullable for feature in FEATURES]
    patterns = {tuple(row) for row in np.isnan(rows[:, nullable])}
    assert patterns == set(product((False, True), repeat=sum(nullable)))


INPUTS = (tuple(float(feature.example) for feature in FEATURES),)
RIGHT = References(inputs=INPUTS, probabilities=(INPUTS[0][0] / 120,))


@pytest.mark.parametrize("off", [2e-5, 0.3, np.nan])
def test_references_are_compared_within_their_tolerance(off: float) -> None:
    checks.check_references(forge.Engine(share), RIGHT, required=True)
    wrong = forge.Engine(lambda rows: share(rows) + off)
    with pytest.raises(ModelError, match="probabilities of its references"):
        checks.check_references(wrong, RIGHT, required=True)
    wide = RIGHT.model_copy(update={"tolerance": 1e-4})
    if off < 1e-4:
        checks.check_references(wrong, wide, required=True)


def test_references_with_unknown_findings_are_compared_too() -> None:
    names = {feature.name for feature in FEATURES if feature.nullable}
    unknown = tuple(None if feature.nullable else float(feature.example) for feature in FEATURES)
    hard = References(inputs=(*INPUTS, unknown), probabilities=(INPUTS[0][0] / 120,) * 2)
    checks.check_references(forge.Engine(share), hard, required=True)
    with pytest.raises(ModelError, match="probabilities of its references"):
        checks.check_references(forge.Engine(where_unknown(names, 0.9)), hard, required=True)


def test_a_model_without_references_is_refused_where_there_must_be_some() -> None:
    checks.check_references(forge.Engine(share), References(), required=False)
    with pytest.raises(ModelError, match="no references"):
        checks.check_references(forge.Engine(share), References(), required=True)
