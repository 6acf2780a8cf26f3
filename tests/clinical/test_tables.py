from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical import tables
from clinical.errors import DataError
from clinical.tables import Layout, inspect, plain_cell, read_table

cells = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**6), 10**6).map(str),
    st.sampled_from(["?", "", "NA", "nan", " 1", "2 ", ".5", "1.", "1e3", "+4", '"7"', "-0.0"]),
)


@given(st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=20))
def test_the_fast_and_the_careful_way_read_the_same(rows: list[tuple[str, str, str]]) -> None:
    content = ("a,b,c\n" + "\n".join(",".join(row) for row in rows) + "\n").encode()
    layout = inspect(content)
    careful = tables._read_careful(content, layout)
    table = read_table(content, layout)
    assert careful.bad == table.bad == {}
    for name in "abc":
        read = np.concatenate([table.column(batch, name) for batch in table.batches])
        np.testing.assert_array_equal(read, careful.column(careful.batches[0], name))


@pytest.mark.parametrize(
    ("content", "layout"),
    [
        (b"A,b\n1,2\n", Layout(["a", "b"], 2, ",", 1)),
        (b"\n\na;b\n1;2\n", Layout(["a", "b"], 2, ";", 3)),
        (b"1\t2\t?\n", Layout([], 3, "\t", 0)),
        (b"1 2  3\n", Layout([], 3, " ", 0)),
        (b"?,?,5\n", Layout([], 3, ",", 0)),
    ],
)
def test_a_layout_is_found_from_the_first_line(content: bytes, layout: Layout) -> None:
    assert inspect(content) == layout


def test_a_character_cut_by_the_peek_is_no_junk() -> None:
    assert inspect(b"a,b\n" + "é".encode() * 40_000).names == ["a", "b"]
    assert inspect(b"a,bc\n" + "é".encode() * 40_000).names == ["a", "bc"]


def test_junk_after_the_beginning_is_a_bad_cell() -> None:
    content = b"a,b\n" + b"1,2\n" * 20_000 + b"1,\xff\xfe\n"
    assert read_table(content, inspect(content)).bad == {"b": ([20_001], 1)}


def test_an_empty_text_has_no_layout() -> None:
    with pytest.raises(DataError, match="empty"):
        inspect(b"")


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1+1", "-", "--1", "-1e"],
)
def test_what_could_start_a_formula_gets_an_apostrophe(text: str) -> None:
    assert plain_cell(text) == f"'{text}"


@pytest.mark.parametrize(
    "value", ["-1", "+1.5", "-.5e-3", "4711", "a=1", "", "o'hara", -1.5, 3, None]
)
def test_numbers_and_plain_text_stay_as_they_are(value: object) -> None:
    assert plain_cell(value) == value
