"""The comparison sees what it should, and lets pass what it may."""

from typing import Any

import pytest

from tests.recorded.compare import differences

RECORD = {
    "p": 0.25,
    "lines": ["a", "b"],
    "rows": [[1, 0.5], [2, None]],
    "page": {"text": ["Risk 25"], "numbers": ["25"], "fields": {"age": ["54"]}},
}


@pytest.mark.parametrize(("change", "place"), [
    ({"p": 0.25001}, "record/p"),
    ({"p": None}, "record/p"),
    ({"lines": ["a", "c"]}, "record/lines"),
    ({"rows": [[1, 0.5], [2, 0.0]]}, "record/rows/1/1"),
    ({"rows": [[1, 0.5]]}, "record/rows"),
    ({"page": RECORD["page"] | {"numbers": ["26"]}}, "record/page/numbers"),
    ({"page": RECORD["page"] | {"fields": {"age": []}}}, "record/page/fields/age"),
    ({"page": RECORD["page"] | {"text": []}}, "record/page/text"),
    ({"more": 1}, "record/more"),
])  # fmt: skip
def test_a_difference_is_found_and_placed(change: dict[str, Any], place: str) -> None:
    (found,) = differences(RECORD, RECORD | change, "record", absolute=1e-6)
    assert found.place == place
    assert place in str(found)


def test_what_is_within_the_tolerance_or_added_to_a_page_passes() -> None:
    page = {"text": ["Risk 25"], "numbers": ["25", "7"], "fields": {"age": ["54"], "key": [""]}}
    found = RECORD | {"p": 0.2500001, "page": page}
    assert list(differences(RECORD, found, "record", absolute=1e-6)) == []


def test_a_part_that_is_gone_is_found() -> None:
    (found,) = differences(RECORD, {k: v for k, v in RECORD.items() if k != "p"}, "record")
    assert (found.place, repr(found.found)) == ("record/p", "nothing")
