"""Patients a block at a time: which coding they are in, and what they mean in the canonical one.

`clinical.dialects` judges a file that it has read whole. Here a file may be of any length, so that
the evidence is counted block by block; and what is not valid marks its row, not its file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clinical.dialects import CANONICAL, DIALECTS, TELLING, UCI, Dialect, convert_feature, unmask
from clinical.errors import DataError
from clinical.frame import Mask, any_of
from clinical.schema import FEATURES
from clinical.tables import Column

STRAY = 0.01
"""The share of telling cells that may be of the other coding and still be slips of the pen."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """How many cells hold a code that only one of the two codings has.

    Parameters
    ----------
    uci, canonical : int
        The cells that speak for either; heart.csv has the canonical codes.
    """

    uci: int = 0
    canonical: int = 0

    def __add__(self, other: Evidence) -> Evidence:
        return Evidence(self.uci + other.uci, self.canonical + other.canonical)

    @property
    def mixed(self) -> bool:
        """Whether both codings are there, each more often than by slips."""
        return min(self.uci, self.canonical) > STRAY * max(self.uci, self.canonical)

    @property
    def dialect(self) -> Dialect | None:
        """The coding that it speaks for; None where no cell tells."""
        if self.uci == self.canonical:
            return None
        return UCI if self.uci > self.canonical else CANONICAL


def _own_codes(dialect: Dialect, other: Dialect) -> dict[str, list[int]]:
    """Return the codes of the telling features that mean nothing at all in the other dialect."""
    features = [feature for feature in FEATURES if feature.name in TELLING]
    return {
        feature.name: [
            code
            for code in dialect.codes_of(feature)
            if code not in other.codes_of(feature) and code != other.disguised.get(feature.name)
        ]
        for feature in features
    }


_UCI_ALONE, _CANONICAL_ALONE = _own_codes(UCI, CANONICAL), _own_codes(CANONICAL, UCI)


def weigh(columns: Mapping[str, Column]) -> Evidence:
    """Count the cells of the telling features (at least) that only one coding has."""

    def count(codes: Mapping[str, Sequence[int]]) -> int:
        return sum(
            int(np.count_nonzero(columns[name] == code))
            for name, own in codes.items()
            for code in own
        )

    return Evidence(count(_UCI_ALONE), count(_CANONICAL_ALONE))


def decode(
    columns: Mapping[str, Column], dialect: Dialect
) -> tuple[dict[str, Column], dict[str, Mask]]:
    """Bring columns of numbers to the canonical coding.

    Parameters
    ----------
    columns : mapping of str to ndarray
        At least the 13 features, float64, NaN where unknown.
    dialect : Dialect
        The coding that they are in.

    Returns
    -------
    canonical : dict of str to ndarray
        The 13 features in their order.
    bad : dict of str to ndarray of bool
        For each feature with such cells, those that are not valid, or unknown where a patient's
        record must know them.
    """
    canonical: dict[str, Column] = {}
    bad: dict[str, Mask] = {}
    for feature in FEATURES:
        cells, _ = unmask(columns[feature.name], feature.name, dialect)
        canonical[feature.name], wrong = convert_feature(cells, feature, dialect)
        if not feature.nullable:
            wrong = wrong | np.isnan(cells)
        if wrong.any():
            bad[feature.name] = wrong
    return canonical, bad


def require_one_coding(evidence: Evidence, dialect: Dialect, where: str) -> None:
    """Refuse rows that are, or may be, in another coding than they are read in.

    Raises
    ------
    DataError
        With one line that says where.
    """
    if evidence.mixed or evidence.dialect not in (None, dialect):
        found = f"{evidence.uci} cells with codes of UCI files, {evidence.canonical} with canonical"
        raise DataError(
            f"{where}: the rows are not all in one coding: expected {dialect.name} codes in "
            f"{', '.join(TELLING)}, found {found} ones. Divide the input by its coding"
        )


def coding_of_label(names: Sequence[str]) -> Dialect | None:
    """Return the coding that a label column stands for, which scoring does not use otherwise.

    Raises
    ------
    DataError
        Where there is more than one.
    """
    labels = [dialect.label for dialect in DIALECTS if dialect.label in names]
    if len(labels) > 1:
        raise DataError(f"more than one label: {', '.join(labels)}")
    return (UCI if labels == [UCI.label] else CANONICAL) if labels else None


def valid(bad: Mapping[str, Mask], rows: int) -> Mask:
    """Mark the rows without a bad cell."""
    return ~any_of(bad, rows)
