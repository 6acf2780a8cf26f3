"""The one error of the data layer."""


class DataError(ValueError):
    """Data that cannot be used; the message is written for the person who supplied it.

    It may have many lines, since all problems are told at once. It names files, columns and
    row numbers and says what is allowed, but never repeats a patient's value.
    """
