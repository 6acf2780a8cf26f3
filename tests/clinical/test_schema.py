import math

import pytest

from clinical.schema import FEATURES, Feature


@pytest.mark.parametrize("feature", FEATURES, ids=lambda f: f.name)
def test_a_feature_accepts_all_of_its_range_and_its_words_say_so(
    feature: Feature,
) -> None:
    assert feature.accepts(feature.low)
    assert feature.accepts(feature.high)
    beyond = (feature.low - 0.5, feature.high + 0.5, math.nan, math.inf, -math.inf)
    assert not any(map(feature.accepts, beyond))
    if feature.codes:
        assert list(feature.codes) == list(range(int(feature.low), int(feature.high) + 1))
        assert not feature.unit
    else:
        assert not feature.nominal
    assert ("null" in feature.allowed) == feature.nullable
    for code, word in feature.codes.items():
        assert f"{code} ({word})" in feature.allowed
        assert feature.format_value(float(code)) == word
    if not feature.codes:
        assert f"[{feature.low:g}, {feature.high:g}] {feature.unit}" in feature.allowed


def test_a_value_is_told_in_words_and_units() -> None:
    by_name = {feature.name: feature for feature in FEATURES}
    assert by_name["cp"].format_value(0) == "asymptomatic"
    assert by_name["thalach"].format_value(112.0) == "112 beats/min"
    assert by_name["oldpeak"].format_value(2.3) == "2.3 mm"
    assert by_name["ca"].format_value(None) == "unknown"
    # A reference patient may have the middle of two codes.
    assert by_name["sex"].format_value(0.5) == "0.5"


def test_titles_keep_their_abbreviations_within_a_sentence() -> None:
    inline = [feature.inline for feature in FEATURES]
    assert "ST depression" in inline
    assert "slope of the ST segment" in inline
    assert "thallium scan" in inline
