"""Evidence for the coding of a file: its codes, counted block by block and added up.

Two kinds: codes that only some codings have, and associations that every population of patients
shows, without a label. The same for files that are read whole and for partitions of a long one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clinical.codings.definitions import CANONICAL, CODINGS, UCI, Coding
from clinical.errors import DataError
from clinical.schema import FEATURES, Feature

STRAY = 0.01
"""The share of telling cells that may be of another coding and still be slips of the pen."""

TOGETHER, ALONE = -3.5, -4.0
"""How far below 0 the associations must be to speak against a coding, in standard errors.

docs/decisions/0018 has the shares of right files refused and of wrong ones caught.
"""

TELLING = ("cp", "slope", "thal")
"""The features whose codes differ between UCI files and the others."""

_SEEN_WITH = {"cp": "exang", "slope": "oldpeak"}
_ENDS = {"cp": (0, 3), "slope": (0, 2)}
_KNOWN = {
    "cp": "angina during exercise is more frequent with asymptomatic than with typical pain",
    "slope": "ST depression is larger where the slope is down than where it is up",
}
_BY_NAME: dict[str, Feature] = {feature.name: feature for feature in FEATURES}
# One more than the highest code of any coding; whatever is no code is counted at this place.
_BEYOND = 10

Sums = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Cells counted by code, and the values of a related column by code."""

    codes: Sums  # (3, 11): for each telling feature, the cells with each code
    # (2, 3, 11): for cp with exang and slope with oldpeak, by code, the rows where both are known,
    # and the sum and the sum of squares of the latter.
    seen: Sums

    def __add__(self, other: Evidence) -> Evidence:
        return Evidence(self.codes + other.codes, self.seen + other.seen)

    @property
    def rows(self) -> int:
        """The rows that were counted."""
        return int(self.codes[0].sum())

    def foreign(self, coding: Coding) -> int:
        """Return how many telling cells hold a code that other codings have, but not this one."""
        total = 0
        for name, counts in zip(TELLING, self.codes, strict=True):
            own = {*coding.codes_of(_BY_NAME[name]), *coding.disguised.get(name, ())}
            every = {code for one in CODINGS.values() for code in one.codes_of(_BY_NAME[name])}
            total += int(counts[list(every - own)].sum())
        return total

    @property
    def mixed(self) -> bool:
        """Whether UCI's codes and the others are both there, each more often than by slips."""
        uci, others = self.foreign(CANONICAL), self.foreign(UCI)
        return min(uci, others) > STRAY * max(uci, others)

    @property
    def coding(self) -> Coding | None:
        """The coding by the codes alone, uci or canonical; None where they do not decide."""
        uci, others = self.foreign(CANONICAL), self.foreign(UCI)
        if uci == others:
            return None
        return UCI if uci > others else CANONICAL

    def associations(self, coding: Coding) -> dict[str, float]:
        """Return how clearly cp and slope show their known associations, if read in a coding.

        The statistic is Pearson's r times the root of n - 1, with the two ends of the feature's
        codes as +1 and -1 (for exang that is the Cochran-Armitage test for trend): about normal
        with unit variance where there is no association, and 0 where there are too few rows.
        """
        return {
            name: _trend(sums, coding.codes_of(_BY_NAME[name]), _ENDS[name])
            for name, sums in zip(_SEEN_WITH, self.seen, strict=True)
        }

    def supports(self, coding: Coding) -> bool:
        """Return whether the associations are clearly those of patients read in the right way."""
        return sum(self.associations(coding).values()) > -TOGETHER

    def objections(self, coding: Coding) -> dict[str, str]:
        """Return the objections to a coding, by column."""
        associations = self.associations(coding)
        together = sum(associations.values()) < TOGETHER
        against = {
            name: f"the reverse of what is known, that {_KNOWN[name]}"
            for name, value in associations.items()
            if value < ALONE or (together and value < 0)
        }
        thal = self.codes[TELLING.index("thal")][:_BEYOND]
        zeros, total = thal[0], thal.sum()
        if 0 in coding.disguised.get("thal", ()) and zeros >= 3 and zeros > 0.2 * total:
            against["thal"] = (
                f"0 in {zeros / total:.0%} of the rows, too often for a missing value; a numbering "
                "from 0 (normal, fixed, reversible) is not read: write 1, 2, 3 or 3, 6, 7"
            )
        return against


def count_coding_evidence(columns: Mapping[str, Sums]) -> Evidence:
    """Return the evidence of a block of rows for its coding.

    They are columns of numbers as the file writes them, NaN where unknown; one that is missing
    counts as unknown.
    """
    unknown = np.full(len(next(iter(columns.values()), ())), np.nan)
    cells = {name: columns.get(name, unknown) for name in (*TELLING, *_SEEN_WITH.values())}
    places = {name: _places(cells[name]) for name in TELLING}
    codes = [np.bincount(places[name], minlength=_BEYOND + 1) for name in TELLING]
    pairs = _SEEN_WITH.items()
    seen = [_sums(places[name], cells[other], _BY_NAME[other]) for name, other in pairs]
    return Evidence(np.array(codes, dtype=np.float64), np.array(seen))


def require_coding(evidence: Evidence, coding: Coding, where: str) -> None:
    """Refuse rows, which the message calls `where`, that may be in another coding.

    Raises a `DataError` with one line.
    """
    foreign = evidence.foreign(coding)
    own = evidence.foreign(CANONICAL if coding.same_features(UCI) else UCI)
    if foreign > STRAY * own:
        raise DataError(
            f"{where}: the rows are not all in one coding: expected codes of {coding.name} "
            f"({coding.summary}), found {foreign} cells in {', '.join(TELLING)} with codes of "
            "another. Divide the input by its coding"
        )


def _places(cells: Sums) -> npt.NDArray[np.intp]:
    """Return each cell's code, and `_BEYOND` for what cannot be one."""
    with np.errstate(invalid="ignore"):
        codes = cells.astype(np.int8)
    valid = (codes == cells) & (codes >= 0) & (codes < _BEYOND)
    return np.where(valid, codes, _BEYOND).astype(np.intp)


def _sums(places: npt.NDArray[np.intp], values: Sums, feature: Feature) -> Sums:
    """Return, by code, the count, the sum and the sum of squares of the valid values."""
    valid = (values >= feature.low) & (values <= feature.high)
    values = np.where(valid, values, 0.0)
    weights = (valid.astype(np.float64), values, values * values)
    return np.array([np.bincount(places, w, _BEYOND + 1) for w in weights])


def _trend(sums: Sums, codes: Mapping[int, int], ends: tuple[int, int]) -> float:
    """Return Pearson's r times the root of n - 1 of the codes' scores and the related column."""
    read = sums[:, list(codes)]
    score = np.array([float(new == ends[0]) - float(new == ends[1]) for new in codes.values()])
    n, total, squares = read.sum(axis=1)
    if n < 3:
        return 0.0
    counts, values = read[0], read[1]
    covariance = n * (score @ values) - (score @ counts) * total
    spread = (n * (score**2 @ counts) - (score @ counts) ** 2) * (n * squares - total**2)
    return float(covariance / np.sqrt(spread) * np.sqrt(n - 1)) if spread > 1e-9 else 0.0
