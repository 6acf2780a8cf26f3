from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical.errors import DataError
from clinical.frame import (
    REQUIRED,
    frame_from_records,
    unknown_cells,
    validate,
)
from clinical.schema import FEATURE_NAMES, FEATURES, Feature

EXAMPLE = {feature.name: feature.example for feature in FEATURES}


def cell(feature: Feature) -> st.SearchStrategy[float | None]:
    known = (
        st.sampled_from(sorted(feature.codes)).map(float)
        if feature.codes
        else st.integers(int(feature.low), int(feature.high)).map(float)
    )
    return st.none() | known if feature.nullable else known


patient = st.fixed_dictionaries({feature.name: cell(feature) for feature in FEATURES})


@st.composite
def cohorts(draw: st.DrawFn) -> pd.DataFrame:
    """Draw labelled patients, some of them in several copies."""
    people = draw(st.lists(st.tuples(patient, st.booleans()), min_size=1, max_size=30))
    copies = draw(st.lists(st.integers(1, 3), min_size=len(people), max_size=len(people)))
    chosen = [p for p, n in zip(people, copies, strict=True) for _ in range(n)]
    frame = frame_from_records([record for record, _ in chosen])
    frame["disease"] = np.array([sick for _, sick in chosen], dtype=np.int8)
    return frame


sizes = st.floats(0.05, 0.95)


def many(n: int, seed: int = 0) -> pd.DataFrame:
    """Give n different patients, a third of them diseased."""
    rng = np.random.default_rng(seed)
    frame = frame_from_records([EXAMPLE] * n)
    frame["chol"] = rng.permutation(np.linspace(100, 600, n))
    frame["disease"] = (np.arange(n) % 3 == 0).astype(np.int8)
    return frame


# --- Records ------------------------------------------------------------------------------------


def test_records_become_float_columns_in_the_order_of_features() -> None:
    frame = frame_from_records([dict(reversed(EXAMPLE.items())), {"age": 54, "ca": None}])
    assert list(frame.columns) == list(FEATURE_NAMES)
    assert set(frame.dtypes) == {np.dtype("float64")}
    assert frame.loc[0].to_dict() == EXAMPLE
    assert frame.loc[1].dropna().to_dict() == {"age": 54}


def test_no_records_are_an_empty_frame() -> None:
    assert frame_from_records([]).shape == (0, 13)


def test_numpy_numbers_are_numbers() -> None:
    frame = frame_from_records([{"age": np.int64(54), "oldpeak": np.float32(0.5)}])
    assert frame.loc[0, ["age", "oldpeak"]].tolist() == [54, 0.5]


@pytest.mark.parametrize("value", ["54", True, np.True_, [54], {}, 1j])
def test_values_of_other_types_are_refused_without_being_told(value: object) -> None:
    with pytest.raises(DataError) as caught:
        frame_from_records([EXAMPLE, EXAMPLE | {"age": value}, EXAMPLE | {"sex": value}])
    assert "age: must be a number in [18, 110] years; row 2" in str(caught.value)
    assert "sex: must be one of 0 (female), 1 (male); row 3" in str(caught.value)


def test_unknown_keys_are_refused_all_at_once() -> None:
    with pytest.raises(DataError) as caught:
        frame_from_records([{"agee": 1}, {"target": 1, "age": 50}])
    assert "agee: no such feature" in str(caught.value)
    assert "target: no such feature" in str(caught.value)


# --- Validation ---------------------------------------------------------------------------------


@given(st.lists(patient, max_size=5))
def test_every_patient_of_possible_values_is_valid(records: list[dict[str, float | None]]) -> None:
    validate(frame_from_records(records), require_known=REQUIRED)


@pytest.mark.parametrize(
    ("feature", "beyond"),
    [(f, v) for f in FEATURES for v in (-1e9, 1e9, np.inf, -np.inf, 0.5) if not f.accepts(v)],
)
def test_every_impossible_value_is_named_by_column_and_row(feature: Feature, beyond: float) -> None:
    frame = frame_from_records([EXAMPLE, EXAMPLE | {feature.name: beyond}])
    with pytest.raises(DataError) as caught:
        validate(frame)
    assert f"{feature.name}: must be {feature.allowed}; row 2" in str(caught.value)
    assert str(caught.value).count("must be") == 1


def test_all_problems_are_told_at_once() -> None:
    frame = frame_from_records([EXAMPLE | {"age": 5, "cp": 9}, EXAMPLE | {"age": 500}])
    frame["disease"] = [1, 2]
    with pytest.raises(DataError) as caught:
        validate(frame.drop(columns="thal"))
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["thal", "age", "cp", "disease"]
    assert lines[2].endswith("rows 1, 2")


def test_the_unknown_is_a_problem_only_where_it_must_be_known() -> None:
    frame = frame_from_records([EXAMPLE | {"age": None, "ca": None}])
    validate(frame)
    with pytest.raises(DataError, match=r"age: must be") as caught:
        validate(frame, require_known=REQUIRED)
    assert "ca:" not in str(caught.value)


def test_an_unknown_label_is_a_problem_where_it_must_be_known() -> None:
    frame = frame_from_records([EXAMPLE]).assign(disease=np.nan)
    validate(frame)
    with pytest.raises(DataError, match="disease"):
        validate(frame, require_known=["disease"])


def test_what_must_be_known_and_is_not_is_marked_by_column() -> None:
    lacking = [{"age": None, "cp": None}, {"age": None}, {"ca": None, "thal": None}, {}, {}]
    frame = frame_from_records([EXAMPLE | cells for cells in lacking])
    frame["disease"] = [1, 0, 1, np.nan, 0]
    rows = {name: np.flatnonzero(mask).tolist() for name, mask in unknown_cells(frame).items()}
    assert rows == {"age": [0, 1], "cp": [0], "disease": [3]}
