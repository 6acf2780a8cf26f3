"""A packed model answers as the stored one does, or not at all."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinical.errors import DataError
from clinical.schema import FEATURE_NAMES
from risk_model.layout import ONNX, REFERENCES
from steps.batch import engine
from steps.modelling import estimators
from tests.steps.scoring_jobs import BANDS, forest, packed_from, stored

Patients = tuple[pd.DataFrame, np.ndarray]


def columns(features: pd.DataFrame) -> dict[str, np.ndarray]:
    return {name: features[name].to_numpy() for name in FEATURE_NAMES}


@pytest.fixture
def packed(sample: Patients, tmp_path: Path) -> engine.Packed:
    return packed_from(stored(tmp_path / "model", forest(*sample), sample[0]))


def test_it_says_what_the_pipeline_says(sample: Patients, packed: engine.Packed) -> None:
    features, y = sample
    labels, said = engine.unpack(pickle.loads(pickle.dumps(packed)))(columns(features))
    expected = forest(features, y).predict_proba(features)[:, 1]
    np.testing.assert_allclose(said, expected, atol=1e-5)
    np.testing.assert_array_equal(labels, said > 0.5)
    assert (labels.dtype, said.dtype) == (np.int8, np.float64)
    assert packed.engine == "onnx"


def test_no_rows_get_no_answers(packed: engine.Packed, sample: Patients) -> None:
    labels, said = engine.unpack(packed)(columns(sample[0][:0]))
    assert (labels.dtype, said.dtype, len(labels), len(said)) == (np.int8, np.float64, 0, 0)


def test_a_model_is_loaded_once_in_a_process(packed: engine.Packed) -> None:
    again = pickle.loads(pickle.dumps(packed))
    assert engine.unpack(packed) is engine.unpack(again)


def test_the_files_decide_the_digest(
    sample: Patients, packed: engine.Packed, tmp_path: Path
) -> None:
    features, y = sample
    other = packed_from(stored(tmp_path / "other", forest(features[:200], y[:200]), features))
    assert packed.digest != other.digest
    assert packed.bands == tuple((band["level"], band["from"]) for band in BANDS)


@pytest.mark.parametrize("fault", ["another twin", "other answers"])
def test_a_model_that_is_not_what_was_written_is_refused(packed: engine.Packed, fault: str) -> None:
    files = dict(packed.files)
    if fault == "another twin":
        files[ONNX] += b"\0"
    else:
        references = json.loads(files[REFERENCES])
        references["probabilities"][0] += 1e-3
        files[REFERENCES] = json.dumps(references).encode()
    with pytest.raises(
        DataError, match=r"ONNX model is missing or is not|does not give the probabilities"
    ):
        engine.unpack(replace(packed, files=files, digest=fault))


def test_a_model_without_a_twin_answers_by_scikit_learn(sample: Patients, tmp_path: Path) -> None:
    features, y = sample
    pipeline = estimators.build("hist_gradient_boosting", 5, 3, 1, 1).fit(features, y)
    folder = stored(tmp_path / "model", pipeline, features)
    packed = packed_from(folder)
    assert packed.engine == "scikit-learn"
    _, said = engine.unpack(packed)(columns(features))
    np.testing.assert_array_equal(said, pipeline.predict_proba(features)[:, 1])
    labels, said = engine.unpack(packed)(columns(features[:0]))
    assert (labels.dtype, said.dtype, len(labels), len(said)) == (np.int8, np.float64, 0, 0)
