"""The direction of a label, by the known signs of the disease."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from clinical.codings.definitions import (
    CANONICAL,
    GRADES,
    HEART_CSV,
    PRESENCE,
    STATLOG,
    UCI,
    ZERO_BASED,
    Coding,
    offer,
)
from clinical.codings.evidence import Evidence
from clinical.errors import DataError
from clinical.schema import LABEL
from clinical.tables import Column, Mask

Signs = dict[str, tuple[Mask, Mask]]
"""By sign: masks of the patients with it, and of those known to be without."""

SURE = 2.0
"""The standard errors beyond which a sign counts, so that a small or odd sample passes."""

#: In the four hospitals .16 to .39 of the signs without disease, .54 to .71 with its least grade.
_HEALTHY = 0.4
_GRADE_JUMP = 5.0
_FEW = 10


class _Direction(NamedTuple):
    """Which way a label points, by the signs that are beyond `SURE` standard errors."""

    is_right: bool  # at least two signs say that 1 means disease, and none the contrary
    is_wrong: bool  # at least two signs, and most of them, say that 1 means no disease
    against: list[str]  # the signs that say that 1 means none


def _direction(signs: Signs, diseased: Column) -> _Direction:
    """Return which way a label points: diseased is 1, 0, or NaN where unknown."""
    scores = {sign: _score(groups, diseased) for sign, groups in signs.items()}
    right = [sign for sign, score in scores.items() if score > SURE]
    wrong = [sign for sign, score in scores.items() if score < -SURE]
    most_are_wrong = len(wrong) >= 2 and len(wrong) > len(right)
    return _Direction(len(right) >= 2 and not wrong, most_are_wrong, wrong)


def check_direction(frame: pd.DataFrame, coding: Coding, label: str, evidence: Evidence) -> None:
    """Raise a `DataError` where a label contradicts the known signs of the disease.

    It names a rename only where the rows prove it.
    """
    trend = _direction(_signs(frame), frame[LABEL.name].to_numpy(dtype=np.float64))
    if coding is STATLOG and not (trend.is_right and _is_healthy(frame[frame[LABEL.name] == 0])):
        raise DataError(
            f"its label '{label}' is 1 and 2 alone: absence and presence of disease as in Statlog, "
            "or patients of UCI who are all diseased, and its rows do not show which.\n  Write 0 "
            "for absence and 1 for presence in a column 'num'."
        )
    if trend.is_wrong:
        meaning = coding.labels[label].meaning.format(label=label)
        raise DataError(
            f"its label '{label}' points the wrong way: read as {meaning}, disease is less "
            f"frequent with {', '.join(trend.against)}, which is the reverse of what is known."
            f"\n  {_advice(coding, label, evidence)}"
        )


def _advice(coding: Coding, label: str, evidence: Evidence) -> str:
    if not coding.same_features(CANONICAL):
        return f"Write 1 for disease and 0 for none in the column '{label}'."
    if not evidence.supports(coding):
        return f"Its rows do not prove that its codes are {coding.name}. {offer(ZERO_BASED)}"
    right, meaning = ("target", "no disease") if label == LABEL.name else (LABEL.name, "disease")
    return (
        f"Its codes are those of {coding.name} files, so that the label alone is the other way "
        f"round: rename it to '{right}', in which 1 means {meaning}."
    )


def check_alias(
    frame: pd.DataFrame, values: Column, alias: str, coding: Coding, evidence: Evidence
) -> None:
    """Refuse a label whose name has several meanings, with the rename that its rows prove."""
    codes, uci = _codes(values), coding.same_features(UCI)
    allowed = set(GRADES.codes if uci else CANONICAL.labels[LABEL.name].codes)
    signs = _signs_in_every_coding(frame)
    trend = _direction(signs, np.where(np.isnan(values), np.nan, values > 0))
    rename = None
    if codes <= allowed and trend.is_right:
        rename = "num" if uci else LABEL.name
    elif trend.is_wrong and coding.same_features(HEART_CSV) and evidence.supports(coding):
        rename = "target"
    advice = (
        f"Its rows show which: rename it to '{rename}'."
        if rename
        else "Its rows do not prove which: see the file's own description."
    )
    raise DataError(
        f"its column '{alias}' may be the label, but files differ in what its 1 means; the names "
        "known here are num (above 0 = disease), target (1 = no disease) and disease (1 = "
        f"disease).\n  {advice}"
    )


def is_statlog(labels: Column) -> bool:
    """Return whether a label of UCI's is 1 and 2 alone, as Statlog writes it."""
    return _codes(labels) == set(PRESENCE.codes)


def _codes(labels: Column) -> set[float]:
    return set(np.unique(labels[~np.isnan(labels)]).tolist())


def check_grades(frame: pd.DataFrame, grades: Column) -> None:
    """Raise a `DataError` for grades of disease among which some patients have Statlog's labels.

    In UCI's grades, patients of grade 1 have more signs of disease than those of grade 0, and
    not many fewer than those of higher grades.
    """
    burden = _burden(frame)
    groups = (grades == 0, grades == 1, grades > 1)
    none, one, more = (burden[group & ~np.isnan(burden)] for group in groups)
    jump = min(map(len, (none, one, more))) >= 5 and (
        _distance(more, one) - _distance(one, none) > _GRADE_JUMP
    )
    if jump or (_codes(grades) == {0, 1, 2} and int((grades == 2).sum()) >= _FEW):
        raise DataError(
            "its label mixes two meanings: next to UCI's grades (0 to 4) it seems to have rows "
            "with Statlog's labels (1 = absence, 2 = presence).\n  Give the files one by one, or "
            "write 0 for absence and 1 for presence in all rows."
        )


def _is_healthy(patients: pd.DataFrame) -> bool:
    """Return whether patients have fewer signs of disease than diseased ones anywhere."""
    burden = _burden(patients)
    burden = burden[~np.isnan(burden)]
    error = burden.std() / np.sqrt(max(len(burden), 1))
    return len(burden) > 0 and bool(burden.mean() + SURE * error < _HEALTHY)


def _burden(patients: pd.DataFrame) -> Column:
    """Return the share of each patient's known signs that are present; NaN where none is known."""
    groups = np.array(list(_signs(patients).values()))
    with np.errstate(invalid="ignore"):
        return np.asarray(groups[:, 0].sum(axis=0) / groups.any(axis=1).sum(axis=0))


def _distance(one: Column, other: Column) -> float:
    """Return the difference of two means in standard errors."""
    error = float(np.sqrt(one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other)))
    return float(one.mean() - other.mean()) / error if error else 0.0


def _signs(frame: pd.DataFrame) -> Signs:
    """Return the signs of the disease that all four hospitals of the UCI archive show."""
    defect, pain = frame["thal"].to_numpy(), frame["cp"].to_numpy()
    return {
        **_signs_in_every_coding(frame),
        "a reversible defect (thal)": (defect >= 3, defect < 3),
        "asymptomatic chest pain (cp)": (pain == 0, pain > 0),
    }


def _signs_in_every_coding(frame: pd.DataFrame) -> Signs:
    """Return the signs whose codes are the same in every coding."""
    angina, vessels = frame["exang"].to_numpy(), frame["ca"].to_numpy()
    return {
        "angina during exercise (exang 1)": (angina >= 1, angina < 1),
        "coloured vessels (ca above 0)": (vessels >= 1, vessels < 1),
    }


def _score(groups: tuple[Mask, Mask], diseased: Column) -> float:
    """Compare the prevalence with and without a sign, in standard errors; 0 where few have it."""
    known, sick = ~np.isnan(diseased), diseased == 1
    (n1, sick1), (n0, sick0) = (
        (int((group & known).sum()), int((group & sick).sum())) for group in groups
    )
    if min(n1, n0) < 5:
        return 0.0
    pooled = (sick1 + sick0) / (n1 + n0)
    error = (pooled * (1 - pooled) * (1 / n1 + 1 / n0)) ** 0.5
    return (sick1 / n1 - sick0 / n0) / error if error else 0.0
