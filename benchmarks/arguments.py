"""The command line of a benchmark."""

import argparse
from pathlib import Path


def arguments(
    about: str | None, *, archive: bool = False, short: bool = False, **numbers: int
) -> argparse.Namespace:
    """Read the arguments of a benchmark; ``--help`` prints what it is about.

    Parameters
    ----------
    archive : bool
        Whether it takes the path of the UCI archive.
    short : bool
        Whether it has a short form, which writes no page.
    **numbers : int
        Optional numbers, in this order, with their defaults.
    """
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if archive:
        parser.add_argument("archive", type=Path, metavar="heart+disease.zip")
    for name, default in numbers.items():
        parser.add_argument(name, type=int, nargs="?", default=default)
    if short:
        parser.add_argument("--short", action="store_true")
    return parser.parse_args()
