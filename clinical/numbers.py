"""Numbers in texts. Imports the standard library alone, for whoever reads settings at a start."""


def read_float(text: str) -> float:
    """Return a text as a number; a ValueError where it is not one.

    Python's own `float` reads 1_0 as 10, and the digits of every script: a slip of the pen in a
    patient's record without notice.
    """
    return float(_plain(text))


def read_int(text: str) -> int:
    """Return a text as an integer; a ValueError where it is not one."""
    return int(_plain(text))


def _plain(text: str) -> str:
    if "_" in text or not text.isascii():
        raise ValueError("not a number in the digits 0 to 9")
    return text
