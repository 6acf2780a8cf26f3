"""The supported codings of patient files, and how each maps to the canonical one.

The mapping of the codes was established by joining all rows of the UCI file and of ``heart.csv``
on the columns that they share; it holds without exception. ``zero_based`` is the coding of public
"Cleveland" files whose codes were counted from 0 in the order of UCI's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from clinical.schema import LABEL, Feature


@dataclass(frozen=True, slots=True)
class LabelCodes:
    """The codes of a label column."""

    codes: Mapping[int, int]  # whether each means disease
    meaning: str  # a description, in which {label} stands for the column's name


GRADES = LabelCodes({0: 0, 1: 1, 2: 1, 3: 1, 4: 1}, "disease = ({label} > 0)")
AS_IT_IS = LabelCodes({0: 0, 1: 1}, "disease = {label}")
INVERTED = LabelCodes(
    {0: 1, 1: 0}, "disease = 1 - {label}, since {label} = 1 means no disease in heart.csv"
)
PRESENCE = LabelCodes({1: 0, 2: 1}, "disease = ({label} = 2), since Statlog writes 1 for absence")

_DISEASE = {LABEL.name: AS_IT_IS}


@dataclass(frozen=True, slots=True)
class Coding:
    """One coding of patient files."""

    name: str  # what ``coding`` states
    summary: str  # how a person recognises it
    labels: Mapping[str, LabelCodes]  # by column; the first is that of a file without a header
    # For features that are coded in another way: the canonical code of each code.
    codes: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    # By column: the numbers that stand for an unknown value, besides -9 everywhere.
    disguised: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def codes_of(self, feature: Feature) -> Mapping[int, int]:
        """Return the canonical code of each code that a feature has in this coding."""
        return self.codes.get(feature.name) or {code: code for code in feature.codes}

    def feature(self, feature: Feature) -> Feature:
        """Return a feature as this coding writes it, for messages."""
        if not feature.codes:
            return feature
        codes = {old: feature.codes[new] for old, new in self.codes_of(feature).items()}
        return replace(feature, codes=codes)

    def same_features(self, other: Coding) -> bool:
        """Return whether two codings differ in their labels at most."""
        return self.codes == other.codes


UCI = Coding(
    name="uci",
    summary="cp 1 typical angina to 4 asymptomatic, slope 1 to 3, thal 3, 6, 7",
    labels={"num": GRADES, "target": GRADES, **_DISEASE},
    codes={
        "cp": {1: 3, 2: 1, 3: 2, 4: 0},
        "restecg": {0: 1, 1: 2, 2: 0},
        "slope": {1: 2, 2: 1, 3: 0},
        "thal": {3: 2, 6: 1, 7: 3},
    },
    disguised={"chol": (0,), "trestbps": (0,), "slope": (0,), "ca": (9,)},
)
#: UCI's codes, in which the label is 1 for absence and 2 for presence.
STATLOG = replace(UCI, name="statlog", labels={"num": PRESENCE, "target": PRESENCE})
HEART_CSV = Coding(
    name="heart.csv",
    summary="cp 0 asymptomatic to 3 typical angina, slope 0 down to 2 up, thal 2 normal; "
    "target 1 = no disease",
    labels={"target": INVERTED, "num": GRADES, **_DISEASE},
    disguised={"chol": (0,), "trestbps": (0,), "ca": (4, 9), "thal": (0,)},
)
CANONICAL = replace(
    HEART_CSV,
    name="canonical",
    summary="the codes of heart.csv; disease 1 = disease",
    labels={**_DISEASE, "num": GRADES},
)
ZERO_BASED = Coding(
    name="zero_based",
    summary="cp 0 typical angina to 3 asymptomatic, slope 0 up to 2 down, thal 1 normal; "
    "1 = disease in the label",
    labels={"target": AS_IT_IS, "num": GRADES, **_DISEASE},
    codes={
        "cp": {0: 3, 1: 1, 2: 2, 3: 0},
        "restecg": {0: 1, 1: 2, 2: 0},
        "slope": {0: 2, 1: 1, 2: 0},
        "thal": {1: 2, 2: 1, 3: 3},
    },
    disguised={"chol": (0,), "trestbps": (0,), "ca": (9,)},
)

#: The codings that a user can state.
CODINGS = {coding.name: coding for coding in (UCI, HEART_CSV, CANONICAL, ZERO_BASED)}
#: The coding that the name of a label stands for.
BY_LABEL = {"num": UCI, "target": HEART_CSV, LABEL.name: CANONICAL}
AUTO = "auto"


def stated_coding(name: str) -> Coding | None:
    """Return the coding that a user stated, None for ``auto``; a ValueError where there is none."""
    if name != AUTO and name not in CODINGS:
        raise ValueError(f"coding must be one of {', '.join((AUTO, *CODINGS))}")
    return CODINGS.get(name)


def offer(*codings: Coding) -> str:
    """Return the sentence that asks a user to state a coding, where the data alone cannot tell."""
    choices = "; ".join(f"coding={coding.name} ({coding.summary})" for coding in codings)
    return f"State the coding if the file's own description gives it: {choices}."
