"""The one error of the data layer, and how it lists what is wrong."""

from collections.abc import Sequence

#: How many row numbers a message lists before it only counts.
ROWS_LISTED = 10


class DataError(ValueError):
    """Data that cannot be used; the message is written for the person who supplied it.

    It may have many lines, since all problems are listed at once. It names files, columns and
    row numbers and says what is allowed, but never repeats a patient's value.
    """


def cell_problem(column: str, rows: Sequence[int], allowed: str) -> str:
    """Return one line that says which cells of a column are not usable, and what would be.

    The rows are counted from 1. `allowed` says what is valid, such as ``Feature.allowed``.
    """
    shown = ", ".join(str(row) for row in rows[:ROWS_LISTED])
    more = f" and {len(rows) - ROWS_LISTED} more" if len(rows) > ROWS_LISTED else ""
    return f"{column}: must be {allowed}; row{'s' if len(rows) > 1 else ''} {shown}{more}"
