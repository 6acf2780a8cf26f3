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
from clinical.schema import REQUIRED
from tests.clinical.patient_files import require_canonical

SAMPLE_SHA256 = "fb6cd3ec05604b0f884bae811b4fb8a9ad88d8afe2d4c026a83c758942bd62ce"

FIGURE = json.loads(FIGURES.read_text())


def test_the_figures_are_those_that_were_measured(data_dir: Path) -> None:
    assert FIGURES.read_bytes() == (data_dir / "cohort.json").read_bytes()


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
def test_each_class_has_its_means_and_rank_correlations_and_nobody_is_copied(label: str) -> None:
    frame = draw(20_000, seed=7)
    assert (frame["num"] > 0).sum() == round(20_000 * FIGURE["prevalence"])
    assert len(set(row_hashes(frame))) > 0.999 * len(frame)
    part = frame[(frame["num"] > 0) == (label == "1")][FIGURE["features"]]
    share, figures = FIGURE["shrinkage"], FIGURE["classes"][label]
    for name, values in part.items():
        own = figures["marginals"][name]
        mixed = (1 - share) * own["mean"] + share * FIGURE["pooled_marginals"][name]["mean"]
        # Five standard errors; and 2 % of a deviation for the interpolation between quantiles.
        tolerance = 5 * own["sd"] / len(part) ** 0.5 + 0.02 * own["sd"]
        assert values.mean() == pytest.approx(mixed, abs=tolerance)
        assert values.isna().mean() == pytest.approx(FIGURE["missing_rate"][name], abs=0.004)
    # The pooled cells are inverted at the same place, so they hardly weaken the ranks.
    ranks = spearmanr(part.dropna()).statistic
    assert np.abs(ranks - np.array(figures["spearman"])).max() < 0.06
