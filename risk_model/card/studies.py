"""What the UCI archive documents about its patients' examinations, by hospital.

Counted in the files of all 76 columns beside those that are used, in the records that can be read;
a test counts them again. Dates: `cmo`, `cday`, `cyr` (angiogram) and `ekgmo`, `ekgday`, `ekgyr`
(exercise test). Drugs during the exercise test: `prop`, `nitr`, `pro`, `dig`.
"""

from typing import NamedTuple


class Study(NamedTuple):
    """How the patients of a hospital were seen."""

    file: str
    title: str
    first: int  # of the years of all but single, probably mistyped, angiograms
    last: int
    days: float  # from exercise test to angiogram, in the median
    # In percent of the patients of whom it is known that they took it during the exercise test, or
    # did not.
    beta_blocker: int
    nitrate: int
    calcium_blocker: int
    digitalis: int


STUDIES = (
    Study("cleveland.data", "Cleveland", 1981, 1984, 1, 34, 25, 10, 3),
    Study("hungarian.data", "Budapest", 1983, 1987, 4, 6, 10, 8, 0),
    Study("switzerland.data", "Zurich and Basel", 1984, 1985, 1, 42, 38, 46, 2),
    Study("long-beach-va.data", "Long Beach", 1982, 1987, 11, 37, 57, 26, 13),
)
