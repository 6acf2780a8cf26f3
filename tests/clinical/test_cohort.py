from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from clinical.archive import CLEVELAND, open_source
from clinical.cohort import FIGURES, draw, is_sample, sample, write_uci
from clinical.copies import row_hashes
from clinical.patients import read_patients
from clinical.preparation import prepare
from clinical.schema import FEATURE_NAMES, REQUIRED
from tests.clinical.patient_files import require_canonical

SAMPLE_SHA256 = "fb6cd3ec05604b0f884bae811b4fb8a9ad88d8afe2d4c026a83c758942bd62ce"

FIGURE = json.loads(FIGURES.read_text())


@pytest.fixture(scope="module")
def large() -> pd.DataFrame:
    return draw(20_000, seed=7)


def test_the_figures_are_those_that_were_measured(data_dir: Path) -> None:
    assert FIGURES.read_bytes() == (data_dir / "cohort.json").read_bytes()


@pytest.mark.parametrize("n", [1, 10, 303, 1000])
def test_the_prevalence_is_exact_and_the_rows_are_mixed(n: int) -> None:
    frame = draw(n)
    diseased = (frame["num"] > 0).to_numpy()
    assert (len(frame), diseased.sum()) == (n, round(n * FIGURE["prevalence"]))
    assert list(frame.columns) == [*FEATURE_NAMES, "num"]
    changes = np.abs(np.diff(diseased.astype(int))).sum()
    assert n / 3 <= changes <= 2 * n / 3 or n <= 10


def test_the_sample_has_the_same_bytes_on_every_machine() -> None:
    assert hashlib.sha256(sample()).hexdigest() == SAMPLE_SHA256


@pytest.mark.parametrize("change", [
    lambda p: p, lambda p: p[::-1], lambda p: p.head(20), lambda p: p.drop(columns="disease"),
    lambda p: p.assign(chol=p["chol"] + 1), lambda p: pd.concat([p, p.assign(age=p["age"] + 1)]),
])  # fmt: skip
def test_the_sample_is_known_in_whatever_order_and_part(
    change: Callable[[pd.DataFrame], pd.DataFrame],
) -> None:
    assert is_sample(change(prepare(sample(), "a name").frame))


def test_other_patients_are_not_of_the_sample(uci_zip: Path) -> None:
    members = open_source(uci_zip)
    cleveland = prepare(members[CLEVELAND], CLEVELAND).frame
    assert not is_sample(cleveland)
    assert not is_sample(pd.concat([cleveland, prepare(sample(), "a name").frame.head(100)]))
    assert not is_sample(read_patients(as_file(draw(303, 43)), "a name").frame)
    assert not is_sample(cleveland.head(0))


def as_file(frame: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    write_uci(frame, file)
    return file.getvalue()


def test_the_file_is_read_as_uci(tmp_path: Path) -> None:
    path = tmp_path / "sample.data"
    frame = draw(2000)
    write_uci(frame, path)
    first = path.read_text().splitlines()[0].split(",")
    assert len(first) == 14
    assert first[0].endswith(".0")
    read = read_patients(path, path.name)
    assert (read.coding, read.rows, read.disguised) == ("uci", 2000, {})
    require_canonical(read.frame, REQUIRED)
    np.testing.assert_array_equal(read.frame["disease"], frame["num"] > 0)
    np.testing.assert_array_equal(read.frame["chol"], frame["chol"])
    assert read.frame.isna().sum().sum() == path.read_text().count("?") > 0


@pytest.mark.parametrize("label", ["0", "1"])
@pytest.mark.parametrize("name", FEATURE_NAMES)
def test_each_class_has_its_marginals(large: pd.DataFrame, name: str, label: str) -> None:
    values = large.loc[(large["num"] > 0) == (label == "1"), name].dropna()
    own = FIGURE["classes"][label]["marginals"][name]
    pooled = FIGURE["pooled_marginals"][name]
    mixed = (1 - FIGURE["shrinkage"]) * own["mean"] + FIGURE["shrinkage"] * pooled["mean"]
    # Five standard errors; and 2 % of a deviation for the interpolation between quantiles.
    tolerance = 5 * own["sd"] / len(values) ** 0.5 + 0.02 * own["sd"]
    assert values.mean() == pytest.approx(mixed, abs=tolerance)
    if own["kind"] == "discrete":
        assert set(values) == set(pooled["values"])
    else:
        assert values.min() >= pooled["min"]
        assert values.max() <= pooled["max"]
        np.testing.assert_allclose(values, values.round(own["decimals"]), rtol=0, atol=1e-9)


@pytest.mark.parametrize("label", ["0", "1"])
def test_ranks_correlate_in_the_same_way(large: pd.DataFrame, label: str) -> None:
    part = large[(large["num"] > 0) == (label == "1")].dropna()
    drawn = spearmanr(part[FIGURE["features"]]).statistic
    real = np.array(FIGURE["classes"][label]["spearman"])
    off_diagonal = ~np.eye(len(real), dtype=bool)
    # The pooled cells are inverted at the same place, so they hardly weaken the ranks.
    assert np.abs(drawn - real)[off_diagonal].max() < 0.06
    assert np.corrcoef(drawn[off_diagonal], real[off_diagonal])[0, 1] > 0.98


def test_what_is_missing_and_the_severities_have_their_shares_and_nobody_is_copied(
    large: pd.DataFrame,
) -> None:
    assert len(set(row_hashes(large))) > 0.999 * len(large)
    rates = large.isna().mean()
    for name, rate in FIGURE["missing_rate"].items():
        assert rates[name] == pytest.approx(rate, abs=0.004 if rate else 0)
    grades = large.loc[large["num"] > 0, "num"].value_counts(normalize=True)
    for grade, share in FIGURE["severity_given_disease"].items():
        assert grades[int(grade)] == pytest.approx(share, abs=0.02)
