"""The one error of the data layer, and how it lists what is wrong."""

from __future__ import annotations

from collections.abc import Iterable

#: How many row numbers a message lists before it only counts.
ROWS_LISTED = 10


class DataError(ValueError):
    """Data that cannot be used; the message is written for the person who supplied it.

    It may have many lines, since all problems are listed at once. It names files, columns and
    row numbers and says what is allowed, but never repeats a patient's value.
    """


def cell_problem(column: str, rows: Iterable[int], total: int, allowed: str) -> str:
    """Return one line that says which cells of a column are not usable, and what would be.

    Some of `rows` are shown: numbers, counted from 1, of the first of `total` offending rows.
    `allowed` says what is valid, such as ``Feature.allowed``.
    """
    shown = [str(row) for row, _ in zip(rows, range(ROWS_LISTED), strict=False)]
    more = f" and {total - len(shown)} more" if total > len(shown) else ""
    return f"{column}: must be {allowed}; row{'s' if total > 1 else ''} {', '.join(shown)}{more}"
