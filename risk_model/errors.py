"""The one error about a stored model."""

from clinical.errors import DataError


class ModelError(DataError):
    """A stored model cannot be used; the message says why, in one line.

    Its files are missing, damaged or not what this project writes, reading them would run code, or
    it does not answer as it did when it was trained.
    """
