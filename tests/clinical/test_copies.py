import hashlib
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical.copies import (
    assign_folds,
    has_near_copy,
    near_copies,
    repeated,
    row_hashes,
    split,
)
from clinical.errors import DataError
from clinical.schema import FEATURE_NAMES, FEATURES, Feature
from tests.clinical.patient_files import EXAMPLE, frame_of

KNOWN_HASHES = ["f6328fdb90112e99", "5f151793752fd5c1"]


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
    frame = frame_of([record for record, _ in chosen])
    frame["disease"] = np.array([sick for _, sick in chosen], dtype=np.int8)
    return frame


sizes = st.floats(0.05, 0.95)


def many(n: int, seed: int = 0) -> pd.DataFrame:
    """Return n patients who differ in two findings or more, a third of them diseased."""
    rng = np.random.default_rng(seed)
    frame = frame_of([EXAMPLE] * n)
    for name, low, high in (("chol", 100, 600), ("thalach", 60, 220)):
        frame[name] = rng.permutation(np.linspace(low, high, n))
    frame["disease"] = (np.arange(n) % 3 == 0).astype(np.int8)
    return frame


# --- Hashes -------------------------------------------------------------------------------------


def test_hashes_are_the_same_in_every_version() -> None:
    # Registered models keep the hashes of their training rows: these must never change.
    frame = frame_of([EXAMPLE, EXAMPLE | {"ca": None}])
    assert [f"{value:016x}" for value in row_hashes(frame).tolist()] == KNOWN_HASHES


@pytest.mark.parametrize("of", [row_hashes, near_copies])
@given(frame=st.deferred(lambda: cohorts() | alike()), random=st.randoms())
def test_hashes_follow_their_rows_and_ignore_index_and_label(of, frame, random) -> None:  # type: ignore[no-untyped-def]
    order = list(range(len(frame)))
    random.shuffle(order)
    shuffled = frame.iloc[order][[*reversed(FEATURE_NAMES)]]
    np.testing.assert_array_equal(of(shuffled), of(frame)[order])


@given(cohorts())
def test_equal_hashes_mean_equal_patients(frame: pd.DataFrame) -> None:
    features = frame[list(FEATURE_NAMES)]
    assert len(set(row_hashes(frame))) == len(features.drop_duplicates())


def test_zero_and_minus_zero_and_all_nans_are_the_same() -> None:
    odd = np.array([0x7FF8000000000001], dtype=np.uint64).view(np.float64)[0]
    frame = frame_of([EXAMPLE | {"oldpeak": 0.0}, EXAMPLE | {"oldpeak": -0.0}])
    frame["ca"] = [np.nan, odd]
    assert len(set(row_hashes(frame))) == 1


def test_hashes_do_not_depend_on_the_blocks() -> None:
    frame = many(70_000)
    np.testing.assert_array_equal(row_hashes(frame)[65_000:], row_hashes(frame.iloc[65_000:]))


# --- Cleaning -----------------------------------------------------------------------------------


@given(cohorts())
def test_repeated_rows_are_dropped_as_pandas_would(frame: pd.DataFrame) -> None:
    np.testing.assert_array_equal(repeated(frame, row_hashes(frame)), frame.duplicated())


def test_no_function_changes_its_frame() -> None:
    frame = frame_of([EXAMPLE, EXAMPLE, EXAMPLE | {"age": None}])
    frame["disease"] = [1.0, 1.0, np.nan]
    before = frame.copy()
    repeated(frame, row_hashes(frame))
    split(frame, 0.5)
    pd.testing.assert_frame_equal(frame, before)


# --- Near-copies --------------------------------------------------------------------------------


def near(one: pd.Series, other: pd.Series) -> bool:
    both = one.notna() & other.notna()
    different = (one[both] != other[both]).sum()
    return one.equals(other) or bool(both.sum() >= 10 and different <= 1)


@st.composite
def alike(draw: st.DrawFn) -> pd.DataFrame:
    """Draw patients of whom many are copies or near-copies of each other."""
    people = draw(st.lists(patient, min_size=1, max_size=3))
    changes = st.lists(st.sampled_from(FEATURES), max_size=3)
    records = []
    for person in people:
        for features in draw(st.lists(changes, min_size=1, max_size=5)):
            records.append(person | {f.name: draw(cell(f)) for f in features})
    return frame_of(records)


@given(alike())
def test_a_group_is_one_patient_with_near_copies_of_that_patient_alone(frame: pd.DataFrame) -> None:
    hashes, groups = row_hashes(frame), near_copies(frame)
    places = dict(zip(hashes, range(len(frame)), strict=True))
    for row, group in enumerate(groups):
        assert near(frame.iloc[row], frame.iloc[places[group]])
    leaders = np.flatnonzero(groups == hashes)
    for one, other in product(leaders, leaders):
        assert hashes[one] == hashes[other] or not near(frame.iloc[one], frame.iloc[other])


@given(alike(), alike())
def test_a_near_copy_among_others_is_found(frame: pd.DataFrame, others: pd.DataFrame) -> None:
    others = pd.concat([others, frame.iloc[:1]])
    for row, found in enumerate(has_near_copy(frame, others)):
        assert found == any(near(frame.iloc[row], other) for _, other in others.iterrows())


def test_a_chain_of_small_changes_does_not_grow() -> None:
    steps = [EXAMPLE]
    for name in ("age", "trestbps", "chol", "thalach", "ca", "oldpeak"):
        steps.append(steps[-1] | {name: EXAMPLE[name] + 1})
    groups = near_copies(frame_of(steps))
    assert len(set(groups)) >= 3
    assert groups[0] != groups[-1]


def test_a_patient_with_several_near_copies_keeps_them_all() -> None:
    star = [EXAMPLE | {name: EXAMPLE[name] + 1} for name in ("age", "trestbps", "chol", "ca")]
    assert len(set(near_copies(frame_of([*star, EXAMPLE])))) == 1


def test_each_patient_twice_with_one_value_changed_is_on_one_side(cleveland: pd.DataFrame) -> None:
    changed = cleveland.assign(chol=cleveland["chol"] + 1)
    twice = pd.concat([cleveland, changed], ignore_index=True)
    train, test = split(twice, 0.2)
    assert not has_near_copy(test, train).any()
    assert len(test) == pytest.approx(0.2 * len(twice), abs=6)


def test_cleveland_is_split_as_it_always_was(cleveland: pd.DataFrame) -> None:
    assert len(set(near_copies(cleveland))) == len(cleveland)
    _, test = split(cleveland, 0.2)
    digest = hashlib.sha256(np.sort(row_hashes(test)).tobytes()).hexdigest()
    assert (len(test), digest[:16]) == (61, "c51a53ae2b2626c7")


# --- The split ----------------------------------------------------------------------------------


@given(cohorts(), st.tuples(sizes, sizes).map(sorted), st.integers(0, 100), st.randoms())
def test_a_split_is_a_nested_partition_that_keeps_copies_together_in_any_order(  # type: ignore[no-untyped-def]
    frame: pd.DataFrame, two: list[float], seed: int, random
) -> None:
    (_, smaller), (train, test) = (split(frame, size, seed) for size in two)
    assert set(smaller.index) <= set(test.index)
    assert sorted([*train.index, *test.index]) == list(frame.index)
    assert not set(row_hashes(train)) & set(row_hashes(test))
    assert train.index.is_monotonic_increasing
    assert test.index.is_monotonic_increasing
    order = list(range(len(frame)))
    random.shuffle(order)
    _, again = split(frame.iloc[order].reset_index(drop=True), two[1], seed)
    assert set(row_hashes(again)) == set(row_hashes(test))


@pytest.mark.parametrize("size", [0.1, 0.2, 0.25, 0.5, 0.9])
def test_each_class_gives_its_rounded_share(size: float) -> None:
    _, test = split(many(303), size)
    assert (test["disease"] == 1).sum() == round(size * 101)
    assert (test["disease"] == 0).sum() == round(size * 202)


@pytest.mark.parametrize("seed", [2, -1, 2**64, 2**70])
def test_any_integer_is_a_seed_and_gives_a_split_of_its_own(seed: int) -> None:
    frame = many(300)
    first, again, other = (set(split(frame, 0.2, each)[1].index) for each in (1, 1, seed))
    assert first == again
    assert len(first & other) < 0.5 * len(first)


@pytest.mark.parametrize("size", [0, 1, -0.1, 1.5])
def test_a_share_outside_of_its_range_is_refused(size: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        split(many(30), size)


# --- Folds --------------------------------------------------------------------------------------


def folds(frame: pd.DataFrame) -> np.ndarray:
    return assign_folds(frame, frame["disease"].to_numpy(), 10)


def test_folds_follow_their_rows_and_divide_both_classes_evenly() -> None:
    frame = many(303)
    order = np.random.default_rng(1).permutation(len(frame))
    np.testing.assert_array_equal(folds(frame.iloc[order]), folds(frame)[order])
    for label in (0, 1):
        counts = np.bincount(folds(frame)[frame["disease"] == label], minlength=10)
        assert counts.max() - counts.min() <= 1


def test_a_few_more_patients_leave_most_in_their_folds() -> None:
    frame = many(303)
    assert (folds(frame)[:-5] == folds(frame[:-5])).mean() > 0.9


def test_copies_of_a_few_patients_are_too_few_for_folds_and_are_counted_as_one() -> None:
    few = [many(12).assign(trestbps=100.0 + change) for change in range(5)]
    with pytest.raises(DataError, match=r"needs 10 patients of each class.* has 4$"):
        folds(pd.concat(few, ignore_index=True))
