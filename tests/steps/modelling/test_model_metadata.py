"""What is known of a trained model is what a server is promised, in plain JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from clinical.schema import FEATURE_NAMES, LABEL
from risk_model import patterns
from risk_model.metadata import Metadata
from steps.modelling import metrics, model_metadata, onnx_export
from steps.modelling.training import Input, Training
from steps.modelling.validation import OutOfFold
from steps.parameters.declaration import check
from steps.parameters.entry_points import Train
from tests.steps.conftest import Patients
from tests.steps.recipes import small

VALUES = check(Train, {})


def training(sample: Patients, **measures: float) -> Training:
    """Return a training of a small forest, which cross-validation has found to guess well."""
    features, y = sample
    p = np.clip(y + np.random.default_rng(1).normal(0, 0.4, len(y)), 0.01, 0.99)
    patients = features.assign(**{LABEL.name: y})
    data = Input(patients, "", "synthetic", "d" * 64, [])
    found = metrics.with_intervals(y, p, 1) | measures
    validated = OutOfFold(np.tile(p, (patterns.COUNT, 1)), np.zeros(len(y), np.intp), {})
    sure = {"count": 0, "level": 0.95, "bins": []}
    model = small().fit(features, y)
    return Training(VALUES, data, validated, model, patients, patients[:40], found, sure)


def known(done: Training) -> dict[str, Any]:
    """Return the metadata as strict JSON has them."""
    metadata = model_metadata.gather(done, onnx_export.convert(done.model, done.features))
    assert Metadata.read(metadata.as_json()) == metadata
    return dict(json.loads(metadata.as_json(), parse_constant=refuse))


def refuse(word: str) -> float:
    raise ValueError(f"{word} is no JSON")


def test_the_facts_are_what_a_server_is_promised(sample: Patients) -> None:
    found = known(training(sample))
    assert found["label"] == LABEL.definition
    assert str(found["trained_at"]).endswith("+00:00")
    assert found["data"] == {
        "source": "synthetic",
        "digest": "d" * 64,
        "rows": {"train": len(sample[0]), "test": 40},
        "prevalence": pytest.approx(sample[1].mean()),
    }
    assert list(found["seen"]) == list(FEATURE_NAMES)
    assert found["seen"]["age"]["low"] == sample[0]["age"].min()
    assert found["seen"]["age"]["high"] == sample[0]["age"].max()
    assert found["seen"]["cp"]["codes"] == [0, 1, 2, 3]
    assert found["seen"]["thal"]["fill"] in (1, 2, 3)
    assert list(found["importance"]) == list(FEATURE_NAMES)
    fills = {name: entry["fill"] for name, entry in found["seen"].items()}
    assert found["reference"]["values"] == fills
    assert [band["level"] for band in found["risk_bands"]] == ["Low", "Moderate", "High"]
    # Nobody of the sample lacks chol, fbs or slope; enough know ca and thal.
    assert len(found["unknown_patterns"]) == 32
    assert found["unknown_patterns"][24]["unknown"] == ["ca", "thal"]


def test_an_undefined_figure_does_not_spoil_the_facts(sample: Patients) -> None:
    found = known(training(sample, precision=math.nan))
    assert "precision" not in found["metrics"]
    assert "roc_auc" in found["metrics"]


def test_features_that_nobody_knew_do_not_spoil_the_facts(sample: Patients) -> None:
    features, y = sample
    found = known(training((features.assign(chol=np.nan, ca=np.nan), y)))
    assert set(found["seen"]["chol"]) == {"fill"}
    assert found["seen"]["ca"]["codes"] == []


def test_the_baseline_counts_each_patient_once_in_bins_of_about_as_many(sample: Patients) -> None:
    done = training(sample)
    baseline = model_metadata.baseline(done.features, done.validated.probabilities)
    assert baseline.patients == len(done.features)
    assert list(baseline.features) == list(FEATURE_NAMES)
    for name, bins in baseline.features.items():
        assert sum(bins.counts) + bins.missing == len(done.features), name
        assert bins.missing == done.features[name].isna().sum()
    assert baseline.features["cp"].codes == (0, 1, 2, 3)
    ages = baseline.features["age"]
    assert len(ages.counts) == len(ages.edges or ()) + 1
    assert min(ages.counts) > len(done.features) / 30
    assert sum(baseline.probability.counts) == len(sample[1])


@pytest.mark.parametrize("values", [[np.nan, np.nan], [3.0, 3.0, 3.0]])
def test_a_baseline_of_what_nobody_or_everybody_has_is_one_bin(values: list[float]) -> None:
    patients = pd.DataFrame(dict.fromkeys(FEATURE_NAMES, values))
    found = model_metadata.baseline(patients, np.array([0.5])).features["chol"]
    assert (found.edges, sum(found.counts) + found.missing) == ((), len(values))
