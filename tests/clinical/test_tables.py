import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical.errors import DataError
from clinical.layout import Layout, inspect
from clinical.tables import Table, marked_rows, plain_cell, read_table, unknown_cells
from tests.clinical.patient_files import EXAMPLE, frame_of

NAMES = ("a", "b", "c")
cells = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**6), 10**6).map(str),
    st.sampled_from(["?", "", "NA", "nan", " 1", "2 ", ".5", "1.", "1e3", "+4", '"7"', "-0.0"]),
)


def read(content: bytes, names: tuple[str, ...] = NAMES) -> Table:
    return read_table(content, inspect(content), names)


def values(table: Table) -> dict[str, list[float]]:
    return {name: column.tolist() for name, column in table.columns.items()}


def bad(table: Table) -> dict[str, list[int]]:
    return {name: marked_rows(mask) for name, mask in table.bad.items()}


@given(st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=20))
def test_a_bad_cell_changes_nothing_but_itself(rows: list[tuple[str, str, str]]) -> None:
    content = ("a,b,c\n" + "\n".join(",".join(row) for row in rows) + "\n").encode()
    clean, soiled = read(content), read(content + b"1,x,2\n")
    assert bad(clean) == {}
    assert bad(soiled) == {"b": [soiled.rows]}
    for name in NAMES:
        np.testing.assert_array_equal(values(clean)[name], values(soiled)[name][:-1])


@pytest.mark.parametrize(
    ("content", "layout"),
    [
        (b"A,b\n1,2\n", Layout(["a", "b"], 2, ",", 1)),
        (b"\n\na;b\n1;2\n", Layout(["a", "b"], 2, ";", 3)),
        (b"1\t2\t?\n", Layout([], 3, "\t", 0)),
        (b"1 2  3\n", Layout([], 3, " ", 0)),
        (b"?,?,5\n", Layout([], 3, ",", 0)),
        (b"5,,,\n", Layout([], 4, ",", 0)),
        (b"sep=;\na;b\n1;2\n", Layout(["a", "b"], 2, ";", 2)),
        (b"a;b\n1,5;2\n", Layout(["a", "b"], 2, ";", 1, ",")),
        (b"1,5;2,5;3,5\n", Layout([], 3, ";", 0, ",")),
        (b'"a","b"\n"1",5,6\n', Layout(["", "a", "b"], 3, ",", 1)),
        (b'"a" "b"\n"1" 5 6\n', Layout(["", "a", "b"], 3, " ", 1)),
        (b"a,b\n5,6,\n", Layout(["a", "b"], 2, ",", 1)),
        (b'a,"b, c"\n5,6\n', Layout(["a", "b, c"], 2, ",", 1)),
    ],
)
def test_a_layout_is_found_from_the_first_lines(content: bytes, layout: Layout) -> None:
    assert inspect(content) == layout


def test_a_character_cut_by_the_peek_is_no_junk() -> None:
    assert inspect(b"a,b\n" + "é".encode() * 40_000).names == ["a", "b"]
    assert inspect(b"a,bc\n" + "é".encode() * 40_000).names == ["a", "bc"]


def test_junk_after_the_beginning_is_a_bad_cell() -> None:
    content = b"a,b\n" + b"1,2\n" * 20_000 + b"1,\xff\xfe\n"
    assert bad(read(content)) == {"b": [20_001]}


def test_blank_lines_are_no_rows_and_uneven_ones_are_counted_among_the_others() -> None:
    table = read(b"a,b,c\n1,2,3\n\n  \n1,2\n4,x,6\n1,2,3,4\n")
    assert table.problems == ["number of columns: must be 3 as in the first row; rows 2, 4"]
    assert bad(table) == {"b": [3]}
    assert values(table)["a"][2] == 4


def test_rows_are_counted_over_the_blocks_of_a_long_file() -> None:
    content = b"a,b,c\n" + b"1,2,3\n" * 400_000 + b"1,2\n" + b"1,2,3\n" * 10 + b"1,2,x\n"
    table = read(content)
    assert "row 400001" in table.problems[0]
    assert bad(table) == {"c": [400_012]}


def test_only_the_columns_that_are_wanted_are_read() -> None:
    table = read(b"a,name,b,c\n1,Smith,2,3\n", ("c", "a"))
    assert values(table) == {"c": [3], "a": [1]}


def test_decimal_commas_are_read_also_beside_a_bad_cell() -> None:
    assert values(read(b"a;b;c\n1,5;x;2\n2,25;3;?\n"))["a"] == [1.5, 2.25]


@pytest.mark.parametrize("last", ['3,"x\n', '"3\n'])
def test_a_quotation_that_would_swallow_rows_is_refused(last: str) -> None:
    with pytest.raises(DataError, match="quoted cell is not closed in its line 2"):
        read(b"a,b,c\n1,2," + last.encode() + b"1,2,3\n" * 10)


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1",
                                  "\uff1d1+1", "-", "--1", "-1e"])  # fmt: skip
def test_what_could_start_a_formula_gets_an_apostrophe_and_nothing_else(text: str) -> None:
    assert plain_cell(text) == f"'{text}"
    for value in ("-1", "+1.5", "-.5e-3", "4711", "a=1", "", "o'hara", -1.5, 3, None):
        assert plain_cell(value) == value


def test_what_must_be_known_and_is_not_is_marked_by_column() -> None:
    lacking = [{"age": None, "cp": None}, {"age": None}, {"ca": None, "thal": None}, {}, {}]
    frame = frame_of([EXAMPLE | cells for cells in lacking])
    frame["disease"] = [1, 0, 1, np.nan, 0]
    rows = {name: np.flatnonzero(mask).tolist() for name, mask in unknown_cells(frame).items()}
    assert rows == {"age": [0, 1], "cp": [0], "disease": [3]}
