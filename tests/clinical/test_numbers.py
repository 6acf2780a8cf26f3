from __future__ import annotations

import pytest

from clinical.numbers import read_float, read_int


@pytest.mark.parametrize("text", ["5", " 5 ", "+5", "5\n"])
def test_digits_are_a_number(text: str) -> None:
    assert read_int(text) == read_float(text) == 5


@pytest.mark.parametrize("text", ["5_4", "\u0665", "\uff15", "1_0.5", "\u00b2", "", "x", "5,4"])
def test_digits_of_other_scripts_and_underscores_are_none(text: str) -> None:
    for read in (read_int, read_float):
        with pytest.raises(ValueError, match=r"."):
            read(text)
