"""What is known about a model is typed: read from both formats, refused where it is wrong."""

import json
import math
from typing import Any

import pytest

from risk_model.bands import RISK_BANDS
from risk_model.errors import ModelError
from risk_model.metadata import Metadata, References
from tests.serving import forge


def refuse(word: str) -> float:
    raise ValueError(f"{word} is no JSON")


def read(**content: Any) -> Metadata:
    return Metadata.read(json.dumps(content))


def test_nothing_is_known_of_a_model_without_a_file() -> None:
    metadata = Metadata.read("{}")
    assert (metadata.format, metadata.source, metadata.bands) == (1, "unknown", RISK_BANDS)
    assert metadata.reference_values is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not valid JSON"),
        ("[]", "holds no object"),
        ('{"format": 3}', "format 3 of a later release"),
        ('{"risk_bands": [{"level": "Low"}]}', "'risk_bands.0.from'"),
        ('{"risk_bands": 3}', "'risk_bands'"),
        ('{"importance": [1]}', "'importance'"),
        ('{"data": {"source": 5}}', "'data.source'"),
        ('{"reference": {"values": {"age": NaN}}}', "'reference.values.age'"),
        ('{"run_id": 98765}', "'run_id'"),
        ('{"metrics": {"roc_auc": "98765"}}', "'metrics.roc_auc'"),
    ],
)
def test_what_is_wrong_is_one_line_that_says_where(content: str, words: str) -> None:
    with pytest.raises(ModelError, match=words) as found:
        Metadata.read(content)
    assert "\n" not in str(found.value)
    assert "98765" not in str(found.value)


def test_fields_of_a_later_release_are_ignored() -> None:
    later = {"level": "Low", "from": 0.0, "colour": "green"}
    metadata = read(format=2, run_id="r", risk_bands=[later], tomorrow={"x": 1})
    assert metadata.bands == (("Low", 0.0),)


def test_what_is_written_is_read_again_the_same(pipeline: Any) -> None:
    metadata = read(**forge.facts(**forge.judged(pipeline)), format=2)
    with_files = metadata.model_copy(update={"files": {"model.onnx": "a" * 64}})
    text = with_files.as_json()
    assert Metadata.read(text) == with_files
    assert Metadata.read(json.dumps(with_files.as_dict())).as_dict() == with_files.as_dict()
    json.loads(text, parse_constant=refuse)


def test_an_undefined_figure_is_null() -> None:
    metadata = Metadata.of({"metrics": {"roc_auc": math.nan, "brier": 0.1}})
    assert metadata.metrics == {"roc_auc": None, "brier": 0.1}
    json.loads(metadata.as_json(), parse_constant=refuse)


def test_references_have_no_nan() -> None:
    references = References(inputs=((1.0, None),), probabilities=(0.5,))
    assert References.read(references.as_json()) == references
    with pytest.raises(ModelError, match=r"references\.json: 'inputs\.0\.1'"):
        References.read('{"inputs": [[1.0, "x"]]}')
