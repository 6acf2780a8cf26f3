"""What is known of a trained model is what a server is promised, in plain JSON."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from clinical.schema import FEATURE_NAMES, LABEL
from risk_model import patterns
from risk_model.metadata import Metadata
from steps.modelling import model_metadata, onnx_export
from steps.modelling.training import Input, Training
from steps.modelling.validation import OutOfFold
from steps.parameters.declaration import check
from steps.parameters.entry_points import Train
from tests.steps.conftest import Patients, small


def test_neither_an_undefined_figure_nor_a_feature_that_nobody_knew_spoils_the_facts(
    sample: Patients,
) -> None:
    features, y = sample[0].assign(chol=np.nan, ca=np.nan), sample[1]
    patients = features.assign(**{LABEL.name: y})
    p = np.clip(y + np.random.default_rng(1).normal(0, 0.4, len(y)), 0.01, 0.99)
    validated = OutOfFold(np.tile(p, (patterns.COUNT, 1)), np.zeros(len(y), np.intp), {})
    data = Input(patients, "", "synthetic", "d" * 64, [])
    figures = {"precision": math.nan, "roc_auc": 0.9}
    model = small().fit(features, y)
    done = Training(
        check(Train, {}), data, validated, model, patients, patients[:40], figures, None
    )
    metadata = model_metadata.gather(done, onnx_export.convert(model, features))
    assert Metadata.read(metadata.as_json()) == metadata
    assert "NaN" not in metadata.as_json()
    found = json.loads(metadata.as_json())
    assert found["metrics"] == {"roc_auc": 0.9}
    assert set(found["seen"]["chol"]) == {"fill"}
    assert found["seen"]["ca"]["codes"] == []


def test_the_baseline_counts_each_patient_once_in_bins_of_about_as_many(sample: Patients) -> None:
    features, y = sample
    baseline = model_metadata.baseline(features, np.random.default_rng(1).random(len(y)))
    assert baseline.patients == len(features)
    assert list(baseline.features) == list(FEATURE_NAMES)
    for name, bins in baseline.features.items():
        assert sum(bins.counts) + bins.missing == len(features), name
        assert bins.missing == features[name].isna().sum()
    assert baseline.features["cp"].codes == (0, 1, 2, 3)
    ages = baseline.features["age"]
    assert len(ages.counts) == len(ages.edges or ()) + 1
    assert min(ages.counts) > len(features) / 30
    assert sum(baseline.probability.counts) == len(y)


@pytest.mark.parametrize("values", [[np.nan, np.nan], [3.0, 3.0, 3.0]])
def test_a_baseline_of_what_nobody_or_everybody_has_is_one_bin(values: list[float]) -> None:
    patients = pd.DataFrame(dict.fromkeys(FEATURE_NAMES, values))
    found = model_metadata.baseline(patients, np.array([0.5])).features["chol"]
    assert (found.edges, sum(found.counts) + found.missing) == ((), len(values))
